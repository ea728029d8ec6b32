// Runs beside the page, in the browser's audio thread: hands on what the microphone hears, channels averaged.

class Listener extends AudioWorkletProcessor {
  process([channels]) {
    if (channels.length) {
      const [first, ...others] = channels;
      const heard = Float32Array.from(first, (value, i) => others.reduce((sum, each) => sum + each[i], value) / channels.length);
      this.port.postMessage(heard, [heard.buffer]);
    }
    return true;
  }
}

registerProcessor("listener", Listener);
