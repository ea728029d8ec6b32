"""H2O AutoML behind the face of scikit-learn's models. An extra: `pip install 'kexp[h2o]'`, and Java, in which it runs.

Its server is started where it is needed, answers on this machine alone, and ends with the `with` that asked for it, or
with the process. What is kept of a model is H2O's binary, which the same version of H2O reads: a MOJO, which needs no
server, is nothing that H2O's open-source edition writes any longer.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.errors import ExperimentError, RunError
from kexp.records import DatasetSpec

Array = NDArray[Any]
MEMORY = "4g"  # of the server's heap, at most
START_S = 90.0  # at most until the server answers: a machine with nothing else to do needs some seconds
LEAST_S = 4.0  # of one search: in less than that no model is trained
MOST = 100  # models of a search, beside those that stack others: what more of them find is luck on validation rows
LEFT_OUT = ["DeepLearning"]  # not searched: rows of BASELINES answer whether a deep network is needed
SORTS = {"auc": "AUC", "log_loss": "logloss", "balanced_accuracy": "mean_per_class_error", "mae": "MAE"}
# Runs the command that follows, and ends it when standard input ends: also where the process that holds it is killed.
_GUARD = """
import os, subprocess, sys, threading
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
threading.Thread(target=lambda: (os.read(0, 1), child.kill()), daemon=True).start()
os._exit(child.wait() & 255)
"""
_MISSING = "NA"  # in files; an empty line would be none
_running: Any = None  # the module h2o, connected, inside of `server`


def library() -> Any:
    """The module h2o. Raises ExperimentError, with what to install, where it or Java is missing."""
    try:
        found = importlib.import_module("h2o")
    except ImportError as error:
        raise ExperimentError(
            f"the baseline h2o needs H2O, which cannot be imported ({error}). Install it: pip install 'kexp[h2o]'. It "
            "needs Java too."
        ) from error
    java()
    return found


def java() -> str:
    """The program. Raises ExperimentError where it is missing."""
    home = os.environ.get("JAVA_HOME")
    found = (shutil.which("java", path=str(Path(home) / "bin")) if home else None) or shutil.which("java")
    if found is None:
        raise ExperimentError(
            "the baseline h2o needs Java: there is no java on the PATH, nor in JAVA_HOME. Install a runtime (a JRE) of "
            "version 17, which H2O supports (Debian and Ubuntu: apt-get install default-jre-headless; macOS: brew "
            "install openjdk@17)."
        )
    return found


@contextlib.contextmanager
def server() -> Iterator[Any]:
    """H2O's module, connected to a server of its own; to the same one inside of another `with`.

    Raises ExperimentError where H2O or Java is missing, RunError where the server does not start.
    """
    global _running
    if _running is not None:
        yield _running
        return
    h2o = library()
    jar = Path(h2o.__file__).parent / "backend" / "bin" / "h2o.jar"
    with tempfile.TemporaryDirectory(prefix="kexp-h2o-", ignore_cleanup_errors=True) as scratch:
        folder, port, password = Path(scratch), _port(), secrets.token_hex(16)
        (folder / "nodes").write_text(f"127.0.0.1:{port}\n")  # of its cluster: it asks the network for no others
        (folder / "login").write_text(f"kexp: {password}\n")  # other users of this machine have no business there
        command = [
            java(), f"-Xmx{MEMORY}", f"-Djava.io.tmpdir={folder}", "-jar", str(jar), "-ip", "127.0.0.1",
            "-web_ip", "127.0.0.1", "-port", str(port), "-name", f"kexp-{secrets.token_hex(8)}",
            "-flatfile", str(folder / "nodes"), "-hash_login", "-login_conf", str(folder / "login"),
            "-ice_root", str(folder / "ice"), "-log_dir", str(folder / "log"), "-log_level", "ERRR", "-disable_flow",
            "-nthreads", "-1",
        ]  # fmt: skip
        with (folder / "said").open("wb") as said:
            guard = subprocess.Popen(
                [sys.executable, "-c", _GUARD, *command], stdin=subprocess.PIPE, stdout=said, stderr=said,
                start_new_session=True,  # Ctrl-C is for kexp, which ends it in order
                env={"OMP_WAIT_POLICY": "passive", **os.environ},  # or XGBoost's threads take cores to wait for cores
            )  # fmt: skip
        try:
            _connect(h2o, port, password, guard, folder / "said")
            _running = h2o
            yield h2o
        finally:
            _running = None
            with contextlib.suppress(Exception), _silence():  # a server that died cannot be told goodbye
                h2o.connection().close()
            if guard.stdin:
                guard.stdin.close()
            guard.wait()


def _connect(h2o: Any, port: int, password: str, guard: subprocess.Popen[bytes], said: Path) -> None:
    """Wait until the server answers. Raises RunError where it ends instead, or takes too long."""
    end = time.monotonic() + START_S
    while time.monotonic() < end and guard.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1), _silence():
            try:
                h2o.connect(url=f"http://127.0.0.1:{port}", auth=("kexp", password), verbose=False, telemetry=False)
            except h2o.exceptions.H2OError:  # it listens before it answers, long before where the machine is busy
                continue
            h2o.no_progress()
            return
        time.sleep(0.2)
    told = " ".join(said.read_text(encoding="utf-8", errors="replace").split())[-300:]
    raise RunError(
        f"H2O's server did not start; its last words: {told or 'none'}. It needs Java 8 to 17 and a free GiB."
    )


def _port() -> int:
    """A port that is free, and so is the next one: H2O takes both."""
    while True:
        with socket.socket() as one, socket.socket() as other, contextlib.suppress(OSError, OverflowError):
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            other.bind(("127.0.0.1", port + 1))
            return port


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Nothing of what H2O's client prints and warns of is an answer to anyone."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@dataclass
class AutoML:
    """The leader of an AutoML search, one for each label or target of several: predict, predict_proba and classes_ as
    scikit-learn's have them. Pickled it needs H2O to answer, not to be read.
    """

    spec: DatasetSpec
    balanced: bool = False
    version: str = ""
    binaries: list[bytes] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)  # {"leader": algorithm, "models": so many were trained}
    classes_: list[int] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """Of the binaries."""
        return sum(len(one) for one in self.binaries)

    def fit(
        self, inputs: Array, wanted: Array, held: tuple[Array, Array] | None = None, *, seconds: float, seed: int,
        metric: str,
    ) -> AutoML:  # fmt: skip
        """Search for about `seconds` on rows (n, features) and `estimators.targets` of them.

        The rows of `held` say which model leads, by `metric` where H2O has it, otherwise by its own choice; without
        them its cross-validation says so. How many models there is time for is not the same every time, so neither is
        the leader. Raises ValueError where there is no time for any.
        """
        columns = _columns(wanted)
        each = seconds / len(columns)
        if each < LEAST_S:
            many = f" for each of {len(columns)} outputs" if len(columns) > 1 else ""
            raise ValueError(f"{max(0.0, each):.0f} s{many}: it takes {LEAST_S:.0f} s at least, which --time gives it")
        self.classes_ = np.unique(wanted).astype(int).tolist() if self.spec.task in ("binary", "multiclass") else []
        self.binaries, leaders, models = [], [], 0
        with server() as h2o, tempfile.TemporaryDirectory(prefix="kexp-h2o-") as scratch, _silence():
            self.version = str(h2o.__version__)
            try:
                for at, column in enumerate(columns):
                    frame = self._frame(h2o, Path(scratch), inputs, column)
                    beside = None if held is None else self._frame(h2o, Path(scratch), held[0], _columns(held[1])[at])
                    search = h2o.automl.H2OAutoML(
                        max_runtime_secs=max(1, round(each)), max_models=MOST, seed=seed, exclude_algos=LEFT_OUT,
                        sort_metric=self._sort(metric), verbosity=None,
                    )  # fmt: skip
                    weights = {"weights_column": "weight"} if self.balanced and self.classed else {}
                    search.train(y="y", training_frame=frame, leaderboard_frame=beside, **weights)
                    if search.leader is None:
                        raise ValueError(f"no model was trained in {each:.0f} s: --time gives it more")
                    leaders.append(str(search.leader.algo))
                    models += search.leaderboard.nrow
                    self.binaries.append(Path(h2o.save_model(search.leader, path=scratch, force=True)).read_bytes())
                    h2o.remove_all()
            except (h2o.exceptions.H2OError, OSError) as error:
                raise ValueError(f"H2O: {error}") from error
        self.told = {"leader": ", ".join(dict.fromkeys(leaders)), "models": models}
        return self

    @property
    def classed(self) -> bool:
        """Whether answers are probabilities."""
        return self.spec.task != "regression"

    def predict(self, inputs: Array) -> Array:
        """Values (n, targets)."""
        return np.stack([found["predict"] for found in self._answers(inputs)], axis=1)

    def predict_proba(self, inputs: Array) -> Array:
        """Of each of `classes_`, or of each label."""
        answers = self._answers(inputs)
        if self.spec.task == "multilabel":  # a label that all training rows have, or none, leaves one class
            return np.stack([found.get("c1", np.zeros(len(inputs))) for found in answers], axis=1)
        return np.stack([answers[0][f"c{one}"] for one in self.classes_], axis=1)

    def _answers(self, inputs: Array) -> list[dict[str, Array]]:
        """What each binary says of `inputs`, by the name of H2O's column."""
        with server() as h2o, tempfile.TemporaryDirectory(prefix="kexp-h2o-") as scratch, _silence():
            if h2o.__version__ != self.version:
                raise RunError(
                    f"the baseline h2o was fitted by H2O {self.version}, which alone can read it; {h2o.__version__} is "
                    "installed. kexp baselines --only h2o --again fits it anew."
                )
            frame = self._frame(h2o, Path(scratch), inputs)
            found = []
            for one in self.binaries:
                path = Path(scratch) / "model"
                path.write_bytes(one)
                told = h2o.load_model(str(path)).predict(frame).as_data_frame(use_pandas=True)
                found.append({str(name): told[name].to_numpy() for name in told.columns})
            h2o.remove_all()
            return found

    def _frame(self, h2o: Any, folder: Path, inputs: Array, column: Array | None = None) -> Any:
        """Rows on the server, by way of a file: numbers, categories of a table as such, y of `column` and weights."""
        import pandas as pd

        names = [f"x{at}" for at in range(inputs.shape[1])]
        kinds = dict.fromkeys(names, "numeric")
        rows = pd.DataFrame(np.asarray(inputs, np.float32), columns=names)
        for name, one in zip(names, self.spec.columns if self.spec.kind == "table" else (), strict=False):
            if one.kind == "category":  # a value that no training row has is a missing one
                rows[name], kinds[name] = _names("k", rows[name].to_numpy()), "enum"
        if column is not None:
            rows["y"], kinds["y"] = (_names("c", column), "enum") if self.classed else (column, "numeric")
            if self.balanced and self.classed:
                _, back, counts = np.unique(column, return_inverse=True, return_counts=True)
                rows["weight"], kinds["weight"] = (len(column) / (len(counts) * counts))[back], "numeric"
        path = folder / "rows.csv"
        rows.to_csv(path, index=False, na_rep=_MISSING)
        return h2o.import_file(str(path), header=1, sep=",", col_types=kinds, na_strings=[_MISSING])

    def _sort(self, metric: str) -> str:
        if metric == "auc" and self.spec.task == "multiclass":
            return "AUTO"
        return SORTS.get(metric, "AUTO")


def _columns(wanted: Array) -> Array:
    """(n,) or (n, outputs) -> (outputs, n)"""
    return wanted.reshape(len(wanted), -1).T


def _names(letter: str, codes: Array) -> list[str]:
    """Codes as words, which H2O takes for no numbers; one below 0 is missing."""
    return [f"{letter}{int(code)}" if code >= 0 else _MISSING for code in codes.tolist()]
