"""What a report says of the search: clusters that were found, the leaderboard, how it went, what mattered."""

from __future__ import annotations

from kexp.curves import turned
from kexp.evaluate import held_back
from kexp.export import scatter
from kexp.metrics import gap
from kexp.records import PLURALS, Trial
from kexp.report import front, history, importance, learning, markup
from kexp.report.markup import Cell, Html, code, figure, heading, join, note, paragraph, plural
from kexp.report.material import Material
from kexp.search.choose import Judge
from kexp.wording import clock, number, refusal, short, short_name, size, telling, values

TOP = 12  # trials that are seen at once; the others are folded away ...
MOST = 500  # ... and of still more the journal knows
FAILED = 20
TEACHERS = 6
SLICES = 3
BESIDE = ("log_loss", "mae")  # it breaks ties, see kexp.metrics.rank
SMALL = 0.1  # R2 of the forest below which its word is not worth much


def clusters(material: Material) -> Html | None:
    """What the classes are, where they were found."""
    found = material.dataset.clustering
    if found is None:
        return None
    noun = PLURALS[material.dataset.spec.kind]
    teacher = found.teachers[0]
    parts = [
        paragraph(
            f"Nobody named these classes: {teacher.teacher} of scikit-learn ({teacher.settings}) found them, without "
            f"labels, in {found.features}. The network learnt to say of new samples what it would say."
        )
    ]
    if found.places:
        told = f"{len(found.places):,} {noun}, coloured by cluster; a number marks the exemplar. {found.plane}"
        parts.append(figure(scatter.svg(found, material.dataset.spec.labels), told, kind="clusters"))
    rows = zip(material.dataset.spec.labels, found.sizes, found.exemplars, strict=True)
    parts.append(markup.table(["cluster", noun, "exemplar"], rows, right=(noun,)))
    parts.append(heading("Which division teaches"))
    scores = ("thin_borders", "agreement", "stability", "silhouette")
    lines = [
        (one.teacher, one.settings, one.clusters, *(_hundredths(getattr(one, name)) for name in scores))
        for one in found.teachers[:TEACHERS]
    ]
    heads = [name.replace("_", " ") for name in scores]
    parts.append(markup.table(["teacher", "settings", "clusters", *heads], lines, right=("clusters", *heads), marked=0))
    parts.append(note(f"The first teaches, of {len(found.teachers)} divisions."))
    return join(*parts)


def _hundredths(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.2f}"


def leaderboard(material: Material) -> Html:
    """The trials, best first, and the simpler models where some were fitted."""
    scored, best = _listed(material), material.best
    differing = telling({"values": trial.values} for trial in scored)
    told = [material.board[key] for key in ("reason", "turned") if material.board.get(key)]
    parts = [paragraph(text[:1].upper() + text[1:] + ".") for text in told]
    first = scored[:TOP]
    if best is not None and best not in first:  # trained once more on all rows, it has the score of a mean
        first = [best, *first]
    parts.append(_trials(material, first, differing))
    others = [trial for trial in scored if trial not in first]
    if others:
        rest = _trials(material, others, differing)
        parts.append(markup.details(plural(len(others), "further trial"), rest))
    parts.append(note(_counts(material.trials), " Scores are on validation rows."))
    parts += _opened(material)
    if best is not None:
        chosen = {name: short(value) for name, value in best.values.items()}
        parts += [heading(f"The best: trial {best.id}, {best.factory}"), markup.pairs(chosen)]
    failed = [trial for trial in material.trials if trial.score is None and trial.status == "failed"]
    if failed:
        rows = [(trial.id, trial.message, values(trial.values, differing)) for trial in failed[:FAILED]]
        table = markup.table(["trial", "why", "values"], rows)
        parts.append(markup.details(f"{plural(len(failed), 'trial')} failed", table))
    if material.board.get("baselines"):
        parts += [heading("Simpler models"), _baselines(material)]
    return join(*parts)


def _listed(material: Material) -> list[Trial]:
    """The trials that the leaderboard has, best first."""
    scored = [trial for trial in material.trials if trial.score is not None]
    best = [trial for trial in scored[MOST:] if trial.id == material.board["best"]]
    return scored[:MOST] + best


def _trials(material: Material, trials: list[Trial], differing: list[str]) -> Html:
    metric = material.metric
    others = [name for name in (trials[0].metrics if trials else {}) if name in BESIDE and name != metric]
    best = next((at for at, trial in enumerate(trials) if trial.id == material.board["best"]), None)
    file = next((f"{metric}, {short_name(trial.variant)}" for trial in material.trials if trial.shipped), "")
    rows = []
    for trial in trials:
        told = values(trial.values, differing)
        if trial.stage != "explore":
            again = "on all rows" if trial.stage == "refit" else f"fold {trial.fold}" if trial.fold else "again"
            told = f"as trial {trial.parent}, {again}"
        if trial.refused:
            told = f"{refusal(trial.refused, bool(trial.shipped))}; {told}"
        star = Cell(Html('<span role="img" aria-label="best">★</span>' if trial.id == material.board["best"] else ""))
        rows.append(
            (star, trial.id, Cell(number(trial.score), "right" if file else "strong right"),
             *(Cell(number(trial.metrics.get(name)), "right") for name in others),
             *(_of_file(trial, metric) if file else []),
             Cell(number(trial.parameters), "right"), Cell(str(trial.epochs), "right"),
             Cell(clock(trial.seconds), "right"), Cell(told, "values"))
        )  # fmt: skip
    heads = [name.replace("_", " ") for name in (metric, *others)]
    right = ("trial", *heads, *((file, "size", "ms") if file else ()), "weights", "epochs", "time")
    ids = [f"trial-{trial.id}" for trial in trials]
    return markup.table(["", *right, "values"], rows, right=right, ids=ids, marked=best)


def _of_file(trial: Trial, metric: str) -> list[Cell]:
    if not trial.shipped or trial.bytes is None:
        return [Cell("-", "right")] * 3
    slow = "-" if trial.latency_ms is None else f"{trial.latency_ms:.2g}"
    return [
        Cell(number(trial.shipped.get(metric)), "strong right"),
        Cell(size(trial.bytes), "right"),
        Cell(slow, "right"),
    ]


def _opened(material: Material) -> list[Html]:
    """When the space was opened to what keeps networks from overfitting, and whether it did."""
    opened, best = material.board.get("opened"), material.best
    if opened is None:
        waiting = material.experiment.regularise == "overfitting"
        return [note("The leading candidates did not overfit: dropout and the like were not searched.")] * waiting
    judge = Judge(task=material.dataset.spec.task, objective=material.experiment.objective, rows=1)
    after = None if best is None else judge.overfitting(best)
    told = f"Without {', '.join(name.replace('_', ' ') for name in opened['held'])}, {opened['gap']:.0%} of the error "
    told += f"of the leading candidates was not there on training rows. After {opened['after']} candidates these were "
    told += "searched too" + ("." if after is None else f"; of the best network it is {after:.0%}.")
    return [note(told)]


def _counts(trials: tuple[Trial, ...]) -> str:
    counts: dict[str, int] = {}
    for trial in trials:
        counts[trial.status] = counts.get(trial.status, 0) + 1
    return ", ".join(f"{count:,} {status}" for status, count in counts.items()) + "."


def _baselines(material: Material) -> Html:
    """On validation rows, and on test rows where evaluate measured them."""
    metric = material.metric
    tested = (material.evaluation or {}).get("baselines") or {}
    rows: list[tuple[object, ...]] = []
    best = material.best
    if best is not None:
        own = ((material.evaluation or {}).get("metrics") or {}).get(metric)
        weight = "-" if best.bytes is None else size(best.bytes)
        slow = "-" if best.latency_ms is None else f"{best.latency_ms:.2g}"
        rows.append(("the network", number(best.standing.get(metric)), number(own), weight, slow, clock(best.seconds)))
    for one in material.board["baselines"]:
        milliseconds = "-" if one.get("latency_ms") is None else f"{one['latency_ms']:.2f}"
        weight = "-" if one.get("bytes") is None else size(one["bytes"])
        name = one["factory"]
        value = (tested.get(name) or {}).get(metric)
        rows.append((name, number(one["score"]), number(value), weight, milliseconds, clock(one["seconds"])))
    right = (f"{metric}, validation", "test", "size", "ms", "time")
    table = markup.table(["model", *right], rows, right=right, marked=0 if best is not None else None)
    known = {one["factory"]: held_back(one.get("message", "")) for one in material.board["baselines"]}
    said = [f"{name}: {why}" for name, why in known.items() if why]
    return join(table, note("; ".join(said) + ".")) if said else table


def search_history(material: Material) -> Html | None:
    """Score by time, and what candidates gained by training on."""
    found = history.data(material.trials, material.told_at, material.upward)
    if not found.points:
        return None
    told = f"{plural(len(found.points), 'trial')} in {clock(material.seconds)}. Each point is a trial; the line is the "
    told += "best explored one so far" + ("; the worst stand at the edge." if len(found.points) > 10 else ".")
    if any(one.stage != "explore" for one in found.points):
        told += " Hollow: leading candidates again, under other seeds or on folds."
    listed = {trial.id for trial in _listed(material)}
    parts = [figure(history.draw(found, material.metric, material.upward, listed), told, told=True)]
    grown = history.growth(material.trials)
    if grown:
        told = "Each line is a candidate that was trained on from the weights it had."
        parts += [heading("What more training brought")]
        parts += [figure(history.draw_growth(grown, material.metric, listed), told, told=True)]
    return join(*parts)


def learning_curves(material: Material) -> Html | None:
    """Losses by epoch of the leading candidates, and how far training rows are ahead at the end."""
    found = learning.data(material.trials, material.curves, material.best, "max" if material.upward else "min")
    if not found:
        return None
    listed, every = {trial.id for trial in _listed(material)}, learning.losses(found)
    parts = []
    turn = turned(found[0].curve)
    if turn is not None:
        parts.append(
            paragraph(
                f"Validation loss of the first was lowest after epoch {turn.epoch} ({number(turn.lowest)}) and ends at "
                f"{number(turn.end)}, while the loss of training rows went on falling: it learnt them by heart. More "
                "dropout, weight decay or augmentation, fewer units, or more rows help against that.", kind="warn",
            )
        )  # fmt: skip
    charts = [
        figure(learning.draw(one, every, material.metric, listed), _course(one, material.board["best"]), told=True)
        for one in found
    ]
    parts.append(Html(f'<div class="row two">{"".join(charts)}</div>'))
    told = "Loss of training rows is the mean over an epoch in which the weights change, with dropout and augmentation "
    told += "in it: at first it lies above that of validation rows. The point is the epoch whose weights were kept."
    told += " Thin: the same candidate under other seeds, or on folds." * any(one.again for one in found)
    told += " Pictures are not validated in the first half." * material.dataset.spec.pixels
    parts.append(note(told))
    rows = [
        (one.trial.id, one.curve.epochs[-1], one.trial.train.get(material.metric), one.trial.score,
         gap(material.metric, one.trial.train, one.trial.metrics))
        for one in found if one.trial.train
    ]  # fmt: skip
    if rows:
        metric = material.metric.replace("_", " ")
        heads = ("trial", "epochs", f"{metric}, training rows", "validation rows", "ahead by")
        parts += [heading("How far training rows are ahead"), markup.table(heads, rows, right=heads)]
        parts.append(note("Of the kept weights, nothing dropped or changed, on some of the training rows."))
    return join(*parts)


def _course(one: learning.Course, best: int | None) -> str:
    what = "what became the model" if one.trial.id == best else "a leading candidate"
    turn = turned(one.curve)
    rose = f" Validation loss rose again after epoch {turn.epoch}." if turn else ""
    beside = f", and {plural(len(one.again), 'run')} that confirmed it" if one.again else ""
    return f"Trial {one.trial.id}, {what}{beside}.{rose}"


def trade(material: Material) -> Html | None:
    """Score against cost."""
    found = front.data(material.trials, material.sought)
    if not found:
        return None
    listed = {trial.id for trial in _listed(material)}
    table: list[tuple[object, ...]] = []
    by_id = {trial.id: trial for trial in material.trials}
    picks: dict[int, list[str]] = {}
    for how, id in material.board["front"].get("picks", {}).items():
        picks.setdefault(id, []).append(how)
    for one in (one for one in found if one.leads):
        link = Html(f'<a href="#trial-{one.trial}">{one.trial}</a>')
        trial = by_id[one.trial]
        slow = "-" if trial.latency_ms is None else f"{trial.latency_ms:.2g}"
        weight = "-" if trial.bytes is None else size(trial.bytes)
        meant = ", ".join(picks.get(one.trial, []))
        table.append((link if one.trial in listed else one.trial, number(one.score), weight, slow, meant))
    told = "On the line: networks that none equals which costs no more. Ringed: what became the model. Hollow: no file "
    told += "was made, and its cost is foretold from its layers. Point at one, or tap it, to see its values."
    volume = material.board["front"].get("hypervolume")
    told += "" if volume is None else f" Hypervolume: {volume:.3f} of 1."
    right = ("trial", material.metric, "size", "ms")
    chosen = None if material.best is None else material.best.id
    return join(
        figure(front.draw(found, material.sought, listed, chosen), told, told=True),
        markup.details("The networks on the line", markup.table([*right, "kexp export --pick"], table, right=right)),
    )


def hyperparameters(material: Material) -> Html:
    """Which values the score hung on."""
    found = importance.data(material.trials, material.upward)
    if found is None:
        return note(
            f"Fewer than {importance.FEWEST} explored trials have a score, or all have the same: what mattered "
            "cannot be told. A longer search can."
        )
    warning = []
    if found.trials < importance.FEW or found.fit < SMALL:
        few = [f"there are only {found.trials} trials"] * (found.trials < importance.FEW)
        why = " and ".join([*few, *["the forest explains next to nothing"] * (found.fit < SMALL)])
        warning = [paragraph("Read it as a hint at most: ", why, ".", kind="warn")]
    parts = [
        *warning,
        figure(
            importance.draw(found),
            f"A random forest learnt the rank of the {material.metric.replace('_', ' ')} from the values of "
            f"{found.trials} explored trials. A bar is how much worse it gets when that value is shuffled (permutation "
            f"importance), as a share of all. On trials that it has not seen it explains {max(found.fit, 0):.0%} of "
            "the differences.",
        ),
    ]
    rest = importance.traceless(found)
    if rest:
        parts.append(note("No trace of: ", ", ".join(rest), "."))
    names = [name for name, share in zip(found.names, found.shares, strict=True) if share > 0]
    shown = importance.slices(material.trials, names)
    if shown:
        charts = [figure(importance.draw_slice(one, material.metric, material.upward)) for one in shown[:SLICES]]
        parts.append(Html(f'<div class="row">{"".join(charts)}</div>'))
    return join(*parts)


def missing(material: Material) -> list[Html]:
    """What would make the report say more: sentences with the command."""
    name, found = material.name, []
    if material.evaluation is None:
        why = "was of an earlier model" if "evaluation" in material.stale else "was not done yet"
        found.append(join(f"The test on rows that nothing was chosen by {why}: ", code(f"kexp evaluate {name}"), "."))
    elif not material.evaluation.get("verdict"):
        found.append(join("Simpler models were not measured beside it: ", code(f"kexp evaluate {name}"), "."))
    if material.export is None:
        why = "is of an earlier model" if "export" in material.stale else "is not there yet"
        found.append(join(f"The export for phones {why}: ", code(f"kexp export {name} --tflite"), "."))
    elif not material.board["devices"]:
        found.append(join("No phone has measured the files yet: ", code(f"kexp phone {name}"), "."))
    if material.study is None:
        found.append(join("How many layers and units are enough was not asked yet: ", code(f"kexp study {name}"), "."))
    if material.diagnosis is None:
        found.append(join("The network was not looked into yet: ", code(f"kexp diagnose {name}"), "."))
    if not material.finished:
        found.append(join("The search did not come to its end; the command that started it goes on."))
    return found
