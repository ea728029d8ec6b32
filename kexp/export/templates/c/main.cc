// The network as a program.
//
//   kexp_model [FILE]            raw float32 samples from FILE, or from stdin: one line of outputs for each
//   kexp_model --golden [FILE]   the self-test: answers must be those of golden.bin; exit status 0 if they are
//   kexp_model --serve           for programs: length-prefixed samples in, length-prefixed outputs out, until the end
//
// A sample is KEXP_INPUTS float32 in this machine's byte order (little endian): see model.h for their meaning.

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include "network.h"

namespace {

bool ReadFloats(std::FILE *file, std::vector<float> &numbers) {
  return std::fread(numbers.data(), sizeof(float), numbers.size(), file) == numbers.size();
}

bool ReadCount(std::FILE *file, uint32_t *count) { return std::fread(count, sizeof *count, 1, file) == 1; }

int Fail(const char *what) {
  std::fprintf(stderr, "%s\n", what);
  return 1;
}

// The output as a person reads it: the class, or the value of each target.
void Print(const std::vector<float> &output) {
  for (int i = 0; i < KEXP_OUTPUTS; ++i) std::printf("%s%.9g", i == 0 ? "" : "\t", static_cast<double>(output[i]));
#if KEXP_TASK == KEXP_BINARY
  std::printf("\t%s", kexp_labels[output[0] >= 0.5f ? 1 : 0]);
#elif KEXP_TASK == KEXP_MULTICLASS
  int best = 0;
  for (int i = 1; i < KEXP_OUTPUTS; ++i) best = output[i] > output[best] ? i : best;
  std::printf("\t%s", kexp_labels[best]);
#elif KEXP_TASK == KEXP_MULTILABEL
  for (int i = 0; i < KEXP_OUTPUTS; ++i) {
    if (output[i] >= 0.5f) std::printf("\t%s", kexp_labels[i]);
  }
#endif
  std::printf("\n");
}

int Run(kexp_network *network, std::FILE *file) {
  std::vector<float> input(KEXP_INPUTS), output(KEXP_OUTPUTS);
  for (;;) {
    const size_t found = std::fread(input.data(), sizeof(float), input.size(), file);
    if (found == 0) return 0;
    if (found != input.size()) return Fail("the input ends within a sample: it must be a multiple of KEXP_INPUTS");
    if (!kexp_run(network, input.data(), output.data())) return Fail(kexp_error());
    Print(output);
  }
}

// golden.bin: samples, inputs and outputs of each as uint32, then all inputs, then all expected outputs as float32.
int Golden(kexp_network *network, std::FILE *file) {
  uint32_t samples = 0, inputs = 0, outputs = 0;
  if (!ReadCount(file, &samples) || !ReadCount(file, &inputs) || !ReadCount(file, &outputs) ||
      inputs != KEXP_INPUTS || outputs != KEXP_OUTPUTS || samples == 0 || samples > 10000) {
    return Fail("the golden file is damaged, or of another model");
  }
  std::vector<float> input(static_cast<size_t>(samples) * KEXP_INPUTS);
  std::vector<float> expected(static_cast<size_t>(samples) * KEXP_OUTPUTS);
  if (!ReadFloats(file, input) || !ReadFloats(file, expected)) return Fail("the golden file is cut off");
  float output[KEXP_OUTPUTS];
  double largest = 0;
  bool equal = true, good = true;
  for (uint32_t sample = 0; sample < samples; ++sample) {
    if (!kexp_run(network, &input[sample * static_cast<size_t>(KEXP_INPUTS)], output)) return Fail(kexp_error());
    const float *wanted = &expected[sample * static_cast<size_t>(KEXP_OUTPUTS)];
    equal = equal && std::memcmp(output, wanted, sizeof output) == 0;
    for (int i = 0; i < KEXP_OUTPUTS; ++i) {
      const double gap = std::fabs(static_cast<double>(output[i]) - static_cast<double>(wanted[i])) / kexp_units[i];
      good = good && gap <= KEXP_GOLDEN_LIMIT;  // written so that a NaN fails
      largest = gap > largest ? gap : largest;
    }
  }
  std::printf("golden: %u samples, largest gap %.3g, limit %.3g, %s: %s\n", static_cast<unsigned>(samples), largest,
              KEXP_GOLDEN_LIMIT, equal ? "bit-identical" : "not bit-identical", good ? "PASS" : "FAIL");
  return good ? 0 : 1;
}

// Sends the shape once; then for each request (uint32 n, n samples) the answer (uint32 n, n outputs).
int Serve(kexp_network *network) {
  const uint32_t shape[2] = {KEXP_INPUTS, KEXP_OUTPUTS};
  if (std::fwrite(shape, sizeof shape, 1, stdout) != 1 || std::fflush(stdout) != 0) return 1;
  uint32_t samples = 0;
  while (ReadCount(stdin, &samples)) {
    if (samples > 100000) return Fail("the request is damaged");
    std::vector<float> input(static_cast<size_t>(samples) * KEXP_INPUTS);
    std::vector<float> output(static_cast<size_t>(samples) * KEXP_OUTPUTS);
    if (!ReadFloats(stdin, input)) return Fail("the request is cut off");
    for (uint32_t i = 0; i < samples; ++i) {
      if (!kexp_run(network, &input[i * static_cast<size_t>(KEXP_INPUTS)],
                    &output[i * static_cast<size_t>(KEXP_OUTPUTS)])) {
        return Fail(kexp_error());
      }
    }
    if (std::fwrite(&samples, sizeof samples, 1, stdout) != 1 ||
        std::fwrite(output.data(), sizeof(float), output.size(), stdout) != output.size() ||
        std::fflush(stdout) != 0) {
      return 1;
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char **argv) {
  const bool golden = argc > 1 && std::strcmp(argv[1], "--golden") == 0;
  const bool serve = argc > 1 && std::strcmp(argv[1], "--serve") == 0;
  const char *name = golden ? (argc > 2 ? argv[2] : "golden.bin") : (argc > 1 && !serve ? argv[1] : nullptr);
  if ((!golden && argc > 2) || argc > 3 || (name != nullptr && std::strncmp(name, "--", 2) == 0)) {
    std::fprintf(stderr, "usage: %s [FILE] | --golden [FILE] | --serve\n", argv[0]);
    return 2;
  }
  std::FILE *file = name == nullptr ? stdin : std::fopen(name, "rb");
  if (file == nullptr) {
    std::perror(name);
    return 1;
  }
  kexp_network *network = kexp_open();
  const int status = network == nullptr ? Fail(kexp_error())
                     : golden           ? Golden(network, file)
                     : serve            ? Serve(network)
                                        : Run(network, file);
  kexp_close(network);
  if (file != stdin) std::fclose(file);
  return status;
}
