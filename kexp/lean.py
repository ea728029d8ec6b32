"""`import keras` without what nobody here uses."""

from __future__ import annotations

import sys
import threading

ours = False  # whether the process is kexp's own, command line or worker: there is no code beside it to miss anything


def keras() -> None:
    """Import Keras without its wrappers for scikit-learn, unless either is loaded already: a quarter of the time.

    They bring SciPy's statistics. Keras takes scikit-learn for not installed; who imports it later has it.
    """
    if not ours or "sklearn" in sys.modules or "keras" in sys.modules:
        return
    sys.modules["sklearn"] = None  # type: ignore[assignment]  # what `import` takes for not there
    try:
        import keras  # noqa: F401 - to have it loaded
    finally:
        del sys.modules["sklearn"]


def beside() -> None:
    """Import Keras in a thread, for who will need it in a while; the program does not end before it is there."""
    threading.Thread(target=_load).start()


def _load() -> None:
    keras()
    import keras as _  # noqa: F401 - to have it loaded, also where the function above leaves it to others
