"""PyTorch: model.pt2 (torch.export) and model.pt (TorchScript), which need neither Keras nor TensorFlow.

The same .keras file, opened by Keras on its torch backend (KERAS_BACKEND=torch, set for the process that this runs
in). Both take any number of samples. The weights are constants of the graph: the files are for inference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kexp.export import metadata
from kexp.export.source import Source
from kexp.runtime.torch import library

_TRACES = ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node", "torch_fn")


def exported(source: Source, path: Path) -> None:
    """Write model.pt2. Raises ExportError where PyTorch is missing."""
    torch = library()
    module, example = _module(torch, source)
    batch = torch.export.Dim("batch")
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
    traced = torch.jit.freeze(torch.jit.trace(module, (example,), check_inputs=others))
    whole = path.with_name(path.name + ".whole")
    torch.jit.save(traced, str(whole), _extra_files=metadata.texts(source.spec))
    _without_paths(torch, whole, path)


def _module(torch: Any, source: Source) -> tuple[Any, Any]:
    """The model as a module of "input", at inference, and an example of two samples."""
    model = source.model
    model.requires_grad_(False)  # a trace refuses constants that could be trained
    torch.set_num_threads(1)

    class Model(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, input: Any) -> Any:
            # Not a submodule: Keras reads its own weights, so PyTorch would write them down a second time, unused.
            return model(input, training=False)

    example = np.resize(source.samples, (2, *source.spec.shape)).astype(np.float32)
    return Model().eval(), torch.from_numpy(example)


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
