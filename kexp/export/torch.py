"""PyTorch: model.pt2 (torch.export) and model.pt (TorchScript), which need neither Keras nor TensorFlow.

The same .keras file, opened by Keras on its torch backend (KERAS_BACKEND=torch, set for the process that this runs
in). Both take any number of samples. The weights are constants of the graph: the files are for inference.

Keras 3.15's average pooling is another one on that backend: where "same" padding is uneven it repeats border pixels
and counts them (on a picture of 17 x 12, pooled by 3, outputs differ by a third; keras-team/keras pull request 23233
mends it in later versions). So it is done here, as TensorFlow does it.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from kexp.export import metadata
from kexp.export.source import Source
from kexp.runtime.torch import library

_TRACES = ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node", "torch_fn")


def exported(source: Source, path: Path) -> None:
    """Write model.pt2. Raises ExportError where PyTorch is missing."""
    torch = library()
    module, example = _module(torch, source)
    batch = torch.export.Dim("batch")
    with _pooling_of_tensorflow():
        program = torch.export.export(module, (example,), dynamic_shapes={"input": {0: batch}}, strict=False)
    for node in program.graph.nodes:  # Where each line came from: half of the file, and paths of this machine.
        for key in _TRACES:
            node.meta.pop(key, None)
    torch.export.save(program, path, extra_files=metadata.texts(source.spec))


def script(source: Source, path: Path) -> None:
    """Write model.pt. Raises ExportError where PyTorch is missing."""
    torch = library()
    module, example = _module(torch, source)
    # Other batches than the traced one: a number that the trace took for a constant is an error here.
    others = [(example[:1],), (torch.cat([example, example, example[:1]]),)]
    with _pooling_of_tensorflow():
        traced = torch.jit.freeze(torch.jit.trace(module, (example,), check_inputs=others))
    whole = source.scratch / "whole.pt"
    torch.jit.save(traced, str(whole), _extra_files=metadata.texts(source.spec))
    _without_paths(torch, whole, path)


def _module(torch: Any, source: Source) -> tuple[Any, Any]:
    """The model as a module of "input", at inference, and an example of two samples: noise, as .pt2 keeps it inside."""
    model = source.model
    model.requires_grad_(False)  # a trace refuses constants that could be trained
    torch.set_num_threads(1)

    class Model(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, input: Any) -> Any:
            # Not a submodule: Keras reads its own weights, so PyTorch would write them down a second time, unused.
            return model(input, training=False)

    example = np.random.default_rng(0).uniform(0, 255, (2, *source.spec.shape))
    return Model().eval(), torch.from_numpy(example.astype(np.float32))


@contextlib.contextmanager
def _pooling_of_tensorflow() -> Iterator[None]:
    """Average pooling layers compute as on TensorFlow within this context."""
    import keras

    with contextlib.ExitStack() as stack:
        for layer in (keras.layers.AveragePooling1D, keras.layers.AveragePooling2D, keras.layers.AveragePooling3D):
            stack.enter_context(mock.patch.object(layer, "call", _average(layer.call)))
        yield


def _average(original: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The `call` of an average pooling layer: padded with zeros, then divided by how much of a window is picture."""
    from keras import ops

    def call(self: Any, x: Any) -> Any:
        if self.padding != "same":
            return original(self, x)
        last = self.data_format == "channels_last"
        sizes = [int(size) for size in (x.shape[1:-1] if last else x.shape[2:])]  # of a trace, they are tensors
        windows = [_window(*each) for each in zip(sizes, self.pool_size, self.strides, strict=True)]
        pads = [pad for pad, _ in windows]
        share = functools.reduce(np.multiply.outer, [shares for _, shares in windows]).astype(np.float32)
        padded = ops.pad(x, [(0, 0), *pads, (0, 0)] if last else [(0, 0), (0, 0), *pads])
        mean = ops.average_pool(padded, self.pool_size, self.strides, "valid", self.data_format)
        return mean / ops.convert_to_tensor(share[..., None] if last else share)

    return call


def _window(size: int, pool: int, stride: int) -> tuple[tuple[int, int], NDArray[np.float64]]:
    """Of one side: the padding before and after, and which share of each window lies in the picture.

    TensorFlow's rule: https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2
    """
    count = -(-size // stride)
    total = max((count - 1) * stride + pool - size, 0)
    before = total // 2
    first = np.arange(count) * stride - before
    return (before, total - before), (np.minimum(first + pool, size) - np.maximum(first, 0)) / pool


def _without_paths(torch: Any, whole: Path, path: Path) -> None:
    """Copy a TorchScript file without its debug records, which name source files of this machine."""
    own = (".data/", "version", "byteorder")  # the writer writes them itself
    reader, writer = torch._C.PyTorchFileReader(str(whole)), torch._C.PyTorchFileWriter(str(path))
    for name in reader.get_all_records():
        if not name.endswith(".debug_pkl") and not name.startswith(own):
            content = reader.get_record(name)
            writer.write_record(name, content, len(content))
    writer.write_end_of_file()
    whole.unlink()
