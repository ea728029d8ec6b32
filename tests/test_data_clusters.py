"""Clusters found without labels: the right number and shape of them, said where there are none, and learnt."""

import io
import json
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console
from sklearn import datasets

from kexp import pipeline, screen
from kexp.data import Dataset, clusters, load, teachers, validity
from kexp.data.embedding import embed, plane, spectra
from kexp.errors import DataError, ExperimentError
from kexp.experiment import from_data
from kexp.experiment import load as load_toml
from kexp.metrics import adjusted_rand
from kexp.records import Experiment


def standardised(x):
    return ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32)


@pytest.fixture(autouse=True)
def _fewer(monkeypatch):
    """Tests look for fewer clusters than people do: a third of the time."""
    monkeypatch.setattr(clusters, "MOST", 6)


def blobs(count=3, n=150, seed=0):
    centres = np.random.default_rng(seed).permutation([[0, 0], [6, 0], [0, 6], [6, 6], [3, 12]])[:count]
    x, y = datasets.make_blobs(n, centers=centres.astype(float), cluster_std=0.7, random_state=seed)
    return standardised(x), y


def chosen(found):
    return found.teachers[0]


def said(found):
    return " ".join(found.notices)


# -- which ---------------------------------------------------------------------------------------


def test_blobs_are_counted():
    for count in (2, 4):
        x, y = blobs(count)
        found = clusters.choose(x, seed=0)
        assert chosen(found).clusters == count and adjusted_rand(found.labels, y) == 1
        assert "no clusters at all" not in said(found)


@pytest.mark.parametrize("shape", ["moons", "rings", "stripes"])
def test_shapes_that_are_no_balls_are_found(shape):
    if shape == "moons":
        x, y = datasets.make_moons(300, noise=0.05, random_state=0)
    elif shape == "rings":
        x, y = datasets.make_circles(300, noise=0.04, factor=0.4, random_state=0)
    else:
        x, y = datasets.make_blobs(300, random_state=170)
        x = x @ [[0.6, -0.64], [-0.41, 0.85]]  # scikit-learn's anisotropic blobs
    x = standardised(x)
    found = clusters.choose(x, seed=0)
    assert adjusted_rand(found.labels, y) > 0.95
    balls = next(one for one in teachers.divide(x, [len(set(y))], seed=0) if one.teacher == "KMeans")
    assert adjusted_rand(balls.labels, y) < 0.7  # what the silhouette would have chosen
    assert chosen(found).teacher != "KMeans"


def test_what_lies_between_goes_to_the_nearest_and_is_said():
    x, y = datasets.make_moons(300, noise=0.05, random_state=0)
    far = np.random.default_rng(0).uniform(-1.5, 2.5, (15, 2))
    x = standardised(np.concatenate([x, far]))
    found = clusters.choose(x, 2, seed=0)
    assert found.labels.shape == (315,) and set(found.labels) == {0, 1}
    assert adjusted_rand(found.labels[:300], y) > 0.9
    noisy = np.where(np.arange(315) < 300, found.labels, -1)
    filled = teachers.without_noise(x, noisy)
    for row in range(300, 315):
        nearest = ((x[:300] - x[row]) ** 2).sum(axis=1).argmin()
        assert filled[row] == noisy[nearest]


def test_where_there_are_none_that_is_said():
    x = np.random.default_rng(3).random((300, 3))
    assert "no clusters at all" in said(clusters.choose(standardised(x), seed=0))


def test_as_many_as_asked():
    x, _ = blobs(3)
    for count in (2, 5):
        found = clusters.choose(x, count, seed=0)
        assert chosen(found).clusters == count and len(np.unique(found.labels)) == count


def test_more_than_the_rows_allow_are_refused():
    x, _ = blobs(3, n=30)
    with pytest.raises(DataError, match="30 rows cannot be divided into 11 clusters"):
        clusters.choose(x, 11)
    with pytest.raises(DataError, match="5 rows cannot be divided"):
        clusters.choose(x[:5])


def test_equal_rows_are_no_clusters():
    with pytest.raises(DataError, match="Only 1 of the 40 rows differ"):
        clusters.choose(np.zeros((40, 2), np.float32), 2)


def test_the_same_seed_chooses_the_same():
    x, _ = blobs(4, n=120)
    one, other = (clusters.choose(x, seed=5) for _ in range(2))
    np.testing.assert_array_equal(one.labels, other.labels)
    assert one.teachers == other.teachers


def test_largest_first_and_exemplars_are_of_their_cluster():
    x, _ = datasets.make_blobs([30, 90, 60], centers=[[0, 0], [8, 0], [0, 8]], random_state=0)
    found = clusters.choose(standardised(x), seed=0)
    assert np.bincount(found.labels).tolist() == [90, 60, 30]
    assert found.labels[found.exemplars].tolist() == [0, 1, 2]
    for cluster, row in enumerate(found.exemplars):
        members = x[found.labels == cluster]
        assert np.linalg.norm(x[row] - members.mean(axis=0)) < 0.5


def test_rows_beyond_the_sample_follow(monkeypatch):
    monkeypatch.setattr(clusters, "ROWS", 250)
    x, y = datasets.make_moons(600, noise=0.04, random_state=0)
    steps = []
    found = clusters.choose(standardised(x), 2, seed=0, progress=lambda done, total: steps.append((done, total)))
    assert found.labels.shape == (600,) and adjusted_rand(found.labels, y) > 0.95
    assert steps == [(done, len(steps)) for done in range(1, len(steps) + 1)]


# -- scores --------------------------------------------------------------------------------------


def division(labels, teacher="KMeans"):
    return teachers.Division(
        teacher=teacher, settings="", labels=np.asarray(labels), noise=0.0, fit=lambda x, seed: np.asarray(labels)
    )


def test_a_border_through_thin_places_is_better_than_one_through_a_cluster():
    x, y = blobs(2, n=200)
    right = division(y)
    halves = division((x[:, 0] + x[:, 1] > np.median(x[:, 0] + x[:, 1])).astype(int) ^ (y * 0))
    four = division(y * 2 + (x[:, 1] > np.where(y, np.median(x[y == 1, 1]), np.median(x[y == 0, 1]))))
    good, cut, quarters = validity.thin_borders(x, [right, halves, four])
    assert good > 0.6
    assert quarters < 0.3 and (cut < good - 0.3 or adjusted_rand(halves.labels, y) > 0.9)


def test_clusters_that_are_two_are_found_out_by_a_division_that_has_both():
    x, y = blobs(3, n=240)
    merged = division(np.minimum(y, 1))
    alone = validity.thin_borders(x, [merged])[0]
    beside = validity.thin_borders(x, [merged, division(y)])[0]
    assert beside < alone - 0.2


def test_silhouettes_are_those_of_scikit_learn():
    from sklearn.metrics import silhouette_score

    x, y = blobs(4)
    assert validity.silhouettes(x, [y])[0] == pytest.approx(silhouette_score(x, y), abs=1e-4)


def test_the_adjusted_rand_index_is_that_of_scikit_learn():
    from sklearn.metrics import adjusted_rand_score

    random = np.random.default_rng(0)
    for k in (2, 5):
        a, b = random.integers(0, k, 80), random.integers(0, 3, 80)
        assert adjusted_rand(a, b) == pytest.approx(adjusted_rand_score(a, b))
    assert adjusted_rand(a, a) == 1


def test_what_changes_with_some_rows_is_unstable():
    x, y = blobs(2)
    random = teachers.Division(
        teacher="none", settings="", labels=y, noise=0.0,
        fit=lambda x, seed: np.random.default_rng(seed).integers(0, 2, len(x)),
    )  # fmt: skip
    assert validity.stability(x, random, seed=0) < 0.1
    kmeans = next(one for one in teachers.divide(x, [2], seed=0) if one.teacher == "KMeans")
    assert validity.stability(x, kmeans, seed=0) > 0.95


def test_the_tree_is_cut_as_scikit_learn_cuts_it():
    from sklearn.cluster import AgglomerativeClustering

    x, _ = blobs(5, n=80)
    for one in teachers.TEACHERS["AgglomerativeClustering"](x, [2, 3, 7], 0):
        settings, labels, fit, _ = one
        assert adjusted_rand(labels, fit(x, 0)) == 1, settings
    assert AgglomerativeClustering(7).fit(x).n_clusters_ == len(set(labels))


# -- data ----------------------------------------------------------------------------------------


def table(tmp_path, n=150, name="customers.csv"):
    x, y = datasets.make_blobs(n, centers=[[0, 0], [9, 0], [0, 9]], random_state=1)
    lines = ["income,age,city,kind"]
    lines += [
        f"{1000 * a:.2f},{b:.3f},{'Oslo' if i % 2 else 'Rome'},{'abc'[c]}"
        for i, ((a, b), c) in enumerate(zip(x, y, strict=True))
    ]
    (tmp_path / name).write_text("\n".join(lines) + "\n")
    return name


def read(tmp_path, data, **options):
    return load(Experiment(name="x", data=data, task="clustering", **options), base=tmp_path, cache=tmp_path / "cache")


def test_without_a_target_no_column_is_dropped(tmp_path):
    dataset = read(tmp_path, table(tmp_path))
    assert [column.name for column in dataset.spec.columns] == ["income", "age", "city", "kind"]
    assert dataset.truth is None and dataset.spec.target == "cluster"


def test_a_target_is_no_input_and_only_compared_with(tmp_path):
    dataset = read(tmp_path, table(tmp_path), target=("kind",), drop=("city",))
    assert [column.name for column in dataset.spec.columns] == ["income", "age"]
    assert (dataset.spec.task, dataset.spec.labels) == ("multiclass", ("cluster 1", "cluster 2", "cluster 3"))
    assert adjusted_rand(dataset.y, dataset.truth) == 1
    assert dataset.raw["cluster"].tolist() == [dataset.spec.labels[k] for k in dataset.y]
    assert list(dataset.raw.columns) == ["income", "age", "cluster"]
    assert dataset.clustering.sizes == (50, 50, 50)
    for label, exemplar in enumerate(dataset.clustering.exemplars):
        assert dataset.y[dataset.ids.index(exemplar)] == label
    for part in ("train", "validation", "test"):
        assert set(dataset.take(part)[1]) == {0, 1, 2}


def test_rows_whose_class_is_unknown_stay(tmp_path):
    name = table(tmp_path)
    lines = (tmp_path / name).read_text().splitlines()
    lines[3] = lines[3].rsplit(",", 1)[0] + ","
    (tmp_path / name).write_text("\n".join(lines) + "\n")
    dataset = read(tmp_path, name, target=("kind",))
    assert len(dataset.y) == 150 and dataset.truth[2] == -1 and (dataset.truth[3:] >= 0).all()


def test_two_clusters_have_two_outputs(tmp_path):
    dataset = read(tmp_path, table(tmp_path), clusters=2)
    assert (dataset.spec.task, dataset.spec.outputs, len(dataset.spec.labels)) == ("multiclass", 2, 2)


def test_the_picture_shows_neighbours_together():
    bunch = datasets.load_digits()
    x = np.asarray(bunch.data, np.float32) / 16
    first = np.array([7, 3])
    rows, places, how = plane(x, first, seed=0)
    assert len(rows) == len(set(rows.tolist())) == len(places) == 600 and rows[:2].tolist() == [7, 3]
    far = ((places[:, None] - places[None]) ** 2).sum(axis=2)
    np.fill_diagonal(far, np.inf)
    assert (bunch.target[rows] == bunch.target[rows[far.argmin(axis=1)]]).mean() > 0.9
    assert how.startswith("t-SNE")


@pytest.mark.parametrize("width", [1, 2])
def test_two_features_are_the_picture_themselves(width):
    x = np.random.default_rng(0).normal(size=(9, width)).astype(np.float32)
    rows, places, how = plane(x, np.array([4]), seed=0)
    assert rows[0] == 4 and sorted(rows.tolist()) == list(range(9)) and how.startswith("The two features")
    np.testing.assert_array_equal(places[:, :width], x[rows])


def test_a_dataset_of_clusters_is_the_same_when_it_is_opened(tmp_path):
    dataset = read(tmp_path, table(tmp_path), target=("kind",))
    dataset.save(tmp_path / "saved")
    opened = Dataset.open(tmp_path / "saved")
    assert opened.clustering == dataset.clustering
    np.testing.assert_array_equal(opened.truth, dataset.truth)


def test_columns_called_as_steps_are_columns(tmp_path):
    x, y = datasets.make_blobs(90, n_features=8, centers=3, random_state=0)
    lines = [",".join(f"{axis}{k}" for k in range(1, 5) for axis in "xy")]
    lines += [",".join(f"{value:.4f}" for value in row) for row in x]
    (tmp_path / "points.csv").write_text("\n".join(lines) + "\n")
    dataset = read(tmp_path, "points.csv", kind=None)
    assert dataset.spec.kind == "table" and adjusted_rand(dataset.y, y) == 1


def test_a_category_weighs_as_much_as_a_number(tmp_path):
    from kexp.data import read as read_raw

    name = table(tmp_path)
    raw = read_raw(Experiment(name="x", data=name, task="clustering"), base=tmp_path, cache=tmp_path)
    x, what = embed(raw, seed=0)
    assert x.shape == (150, 2 + 2 + 3) and "a category as a column for each of its texts" in what
    spread = [((x[:, None, part] - x[None, :, part]) ** 2).sum(axis=-1).mean() for part in ([0], [1], [2, 3])]
    assert spread[0] == pytest.approx(2, rel=0.01) and 0.5 < spread[2] <= 2


def test_pictures_are_seen_on_their_principal_axes(tmp_path):
    random = np.random.default_rng(0)
    y = np.repeat([0, 1], 40)
    x = np.clip(random.normal(80, 10, (80, 8, 8)) + 100 * y[:, None, None] * (np.arange(8) > 3), 0, 255).astype(
        np.uint8
    )
    np.savez(tmp_path / "bars.npz", x=x, y=np.array(["left", "right"])[y])
    dataset = read(tmp_path, "bars.npz")
    assert adjusted_rand(dataset.y, dataset.truth) == 1
    assert dataset.clustering.features == "the values of a picture, on 20 principal axes"


def test_a_sound_is_known_by_its_spectrum_not_by_its_moment():
    random = np.random.default_rng(0)
    t = np.arange(4000) / 8000
    tones = [0.3 * np.sin(2 * np.pi * f * t + random.uniform(0, 6)) for f in (200, 200, 1500, 1500)]
    found = spectra(np.array(tones, np.float32), 8000)
    near, far = np.linalg.norm(found[0] - found[1]), np.linalg.norm(found[0] - found[2])
    assert near < 0.2 * far


# -- the question --------------------------------------------------------------------------------


def test_the_number_of_clusters_goes_with_the_task(tmp_path):
    question = from_data("customers.csv", task="clustering", clusters=4)
    assert (question.task, question.clusters) == ("clustering", 4)
    with pytest.raises(ExperimentError, match='clusters = 4 goes with task = "clustering" alone'):
        load(from_data(str(tmp_path / table(tmp_path)), clusters=4), cache=tmp_path)
    with pytest.raises(ExperimentError, match="clusters = 1: at least 2"):
        from_data("customers.csv", task="clustering", clusters=1)


def test_init_writes_the_question_and_guesses_no_target(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = pipeline.init(table(tmp_path), home=tmp_path, task="clustering", clusters=3)
    written = load_toml(found.toml)
    assert (written.task, written.clusters, written.target) == ("clustering", 3, ())


def test_from_a_table_to_a_file_that_knows_the_clusters(tmp_path):
    name = table(tmp_path, n=300)
    question = from_data(
        str(tmp_path / name), task="clustering", target=["kind"], drop=["city"], trials=1, epochs=40, finalists=1,
        seeds=1, space={"hidden_layers": 1, "units_0": 32, "learning_rate": 0.01}, factory="dense",
    )  # fmt: skip
    assert pipeline.search(question, home=tmp_path, workers=1)
    made = pipeline.export(tmp_path, question.name, ["tflite_int8", "keras"])
    assert made.ok
    card = (made.folder / "README.md").read_text()
    assert "## Clusters" in card and "| cluster 1 | " in card and "customers.csv row " in card
    assert "![The clusters](clusters.svg)" in card
    picture = ElementTree.parse(made.folder / "clusters.svg").getroot()
    assert len(picture.findall(".//{*}circle")) == 300
    assert [one.text for one in picture.findall(".//{*}text")] == ["1", "2", "3"]
    document = pipeline.evaluate(tmp_path, question.name)
    assert document["teacher_rand"] > 0.95
    for metrics in (document["metrics"], document["files"]["model_int8.tflite"]):
        assert abs(metrics["adjusted_rand"] - document["teacher_rand"]) < 0.02
    buffer = io.StringIO()
    Console(file=buffer, width=100).print(
        screen.evaluation(document), screen.teachers(pipeline.show(tmp_path, question.name))
    )
    assert "adjusted_rand of the teacher" in buffer.getvalue() and "3 " in buffer.getvalue()
    shown = pipeline.show(tmp_path, question.name)["clustering"]
    assert json.dumps(shown) and sum(shown["sizes"]) == 300 and shown["teachers"][0]["clusters"] == 3
