"""The report on made-up results: what is on the page, that it stands alone, its bytes, and how a
browser shows it."""

import base64
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from PIL import Image

from mixframe.audio import manifest
from mixframe.audio.io import encode_flac, tar_writer
from mixframe.audio.splicing import planning, rendering
from mixframe.base.errors import MixframeError
from mixframe.base.files import read_json, read_object, write_json, write_text
from mixframe.experiment.layout import Layout
from mixframe.experiment.params import Grid, Preset, read_preset
from mixframe.metrics import evaluation, scorefiles
from mixframe.metrics.frames import frame_threshold
from mixframe.metrics.tables import percent
from mixframe.report import collect, draw, examples, figures, render, spliced
from mixframe.report.figures import calibration, conditions, localisation
from mixframe.report.figures import spliced as spliced_figure
from mixframe.report.pipeline import Edge, Pipeline, Stage, layout, read_pipeline
from mixframe.stages import (
    distort,
    evaluate,
    evaluate_frames,
    evaluate_regions,
    evaluate_robust,
    report,
    summary,
)
from mixframe.stages.context import Context
from tests import chromium

REPO = Path(__file__).parents[1]
TITLE = 'Made <up> & "small"'
SETS = ["eval_seen", "eval_partial"]
GRID = Grid(
    system=["lfcc", "mfpt"],
    classical=["lfcc"],
    foundation=[],
    posttrained=["mfpt"],
    borrowing=[],
    lender="",
    voting=[],
    localising=[],
    seed=[0],
    set=SETS,
)
FRAMES = planning.FrameGrid((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2))
SEPARATION = {"lfcc": 0.5, "mfpt": 3.0}
ATTACKS = {
    "train": ["world"],
    "dev": ["world"],
    "eval_seen": ["world", "tts"],
    "eval_partial": ["vc"],
}
NAMES = (
    "det",
    "histograms",
    "calibration",
    "attacks",
    "codecs",
    "spliced",
    "variants",
    "curves",
    "localisation",
    "regions",
    "votes",
    "embeddings",
    "similarity",
    "robustness",
    "degradation",
    "dag",
)
PAPER = """
papers:
  p:
    title: A paper
    figures:
      - &eer {system: mfpt, preset: made, corpus: Corpus A, set: eval_seen, subset: eval,
              metric: eer, other: "", value: 0.045, source: abstract}
      - {<<: *eer, preset: elsewhere, value: 0.123}
      - {<<: *eer, metric: eer_gap, other: eval_partial, value: 0.0016}
"""
DAG = """
stages:
  make:
    matrix: {preset: ["${preset}"]}
    cmd: tool make --preset ${item.preset}
    outs:
      - results/${item.preset}/corpus/table.parquet
  train:
    matrix: {preset: ["${preset}"], system: "${grid.system}"}
    cmd: tool train --system ${item.system}
    deps:
      - src/train.py
      - results/${item.preset}/corpus/table.parquet
    outs:
      - results/${item.preset}/models/${item.system}/weights.bin: {cache: false}
  judge:
    foreach: [a, b]
    do:
      cmd: tool judge
      deps: [results/demo/models/a/weights.bin, results/demo/corpus]
      metrics:
        - results/demo/judged/${item}.json: {cache: false}
  alone:
    cmd: [tool alone, tool done]
    deps: [results/demo/other]
"""


HEARD: dict[str, Any] = {
    "systems": ["mfpt"],
    "sets": ["eval_seen"],
    "trials": {"bonafide": 5, "spoof_per_attack": 3},
    "conditions": {
        "quiet": {"kind": "level", "gain_db": -6.0},
        "quieter": {"kind": "level", "gain_db": -12.0},
        "slow": {"kind": "stretch", "factor": 1.1},
    },
    "adversarial": {},
    "curves": {"level": {"axis": "gain, dB", "strengths": {"quiet": -6.0, "quieter": -12.0}}},
}


def fill(grid: Grid = GRID, robustness: dict[str, Any] | None = None) -> Context:
    """Write made-up results of every earlier stage below the current folder."""
    values = yaml.safe_load((REPO / "presets/demo.yaml").read_text(encoding="utf-8"))
    values["title"], values["base"] = TITLE, "made"
    values["download"], values["protocol"]["corpora"] = {}, {}
    values["evaluate"]["bootstrap"] = {"resamples": 20, "level": 0.95, "unit": "trial"}
    values["report"] = {"examples": 2, "localiser": "mfpt"}
    if robustness is not None:
        values["robustness"] = robustness
    write_text(Path("presets/made.yaml"), yaml.safe_dump(values))
    write_text(Path("dvc.yaml"), DAG)
    write_text(Path("paper.yaml"), PAPER)
    preset = read_preset("made")
    files = Layout("made")
    context = Context("made", preset, grid, files, preset.compute.resolved(), 0)
    rng = np.random.default_rng(5)
    table = _manifest(files, rng)
    manifest.write(table, files.manifest)
    write_text(files.shortcuts, "set,statistic,eer\ntrain,rms_db,0.4321\ndev,rms_db,0.5\n")
    write_json(
        files.foundation / "config.json",
        {"conv_kernel": list(FRAMES.kernels), "conv_stride": list(FRAMES.strides)},
    )
    write_text(files.curve("pretrain"), "\n")
    policy = preset.splice["heldout"]
    plan = planning.plan(table, policy, FRAMES, 1)
    planning.write_plan(plan, files.plan("heldout"))
    for system in grid.posttrained:
        _frames(files, table, plan, system, rng)
        write_text(files.curve("posttrain", system), "step,loss,lr,frame_eer\n5,0.6,0.1,0.4\n")
        evaluate_frames.run(context, system, grid)
        _embeddings(files, table, system)
    for system in grid.system:
        figure = "inverse_regularisation,dev_eer\n0.1,0.3\n1.0,0.2\n"
        if system != "lfcc":
            figure = "step,loss,lr,dev_eer,dev_cllr\n5,0.6,0.1,0.4,0.9\n10,0.5,0.1,0.3,0.8\n"
        write_text(files.curve("finetune", system), figure)
        counts = {"trainable": 1234, "total": 56789}
        card = {"isa": "avx2", "parameters": counts, "files": {}}
        card["encoder"] = {"folder": "", "files": {}}
        write_json(files.finetuned(system) / "card.json", card)
        for name in ["dev", *grid.set]:
            some = table[table["set"] == name]
            shift = SEPARATION[system] * (some["label"] == "bonafide")
            scores = rng.normal(size=len(some)) + shift
            scorefiles.write_scores(files.scores(system, name), some["utterance"].tolist(), scores)
        evaluate.run(context, system, grid)
    evaluate_regions.run(context, grid)
    summary.run(context, grid)
    return context


def _manifest(files: Layout, rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    with tar_writer(files.audio) as tar:
        for name, attacks in ATTACKS.items():
            for label, attack in [("bonafide", "-")] + [("spoof", a) for a in attacks]:
                for index in range(12):
                    utterance = f"{name}_{attack.replace('-', 'b')}{index}"
                    n_samples = 8000 + 160 * index
                    ref = tar.add(utterance, encode_flac(rng.normal(0, 0.1, n_samples)))
                    spliced = name == "eval_partial" and label == "spoof"
                    rows.append(
                        {
                            "utterance": utterance,
                            "set": name,
                            "label": label,
                            "speaker": f"s{index % 3}",
                            "attack": attack,
                            "codec": ("alaw" if index % 2 else "-") if name == "eval_seen" else "-",
                            "subset": "-",
                            "prompt": "-",
                            "path": ref.path,
                            "offset": ref.offset,
                            "n_bytes": ref.n_bytes,
                            "samples": n_samples,
                            "regions": [1600, 4800] if spliced else [],
                        }
                    )
    return pd.DataFrame(rows)


def _frames(
    files: Layout, table: pd.DataFrame, plan: pd.DataFrame, system: str, rng: np.random.Generator
) -> None:
    where = dict(zip(table["utterance"], manifest.refs(table), strict=True))
    partial = table[table["set"] == "eval_partial"]
    parts = []
    for name, utterances, found in (
        ("heldout", plan["base"], rendering.recipes(plan, where)),
        ("eval_partial", partial["utterance"], rendering.as_recorded(partial)),
    ):
        labels = [FRAMES.labels(r.regions, r.n_samples) for r in found]
        scores = [(rng.normal(0, 1, len(v)) - 2.0 * v).astype(np.float32) for v in labels]
        columns = {"set": name, "utterance": list(utterances), "labels": labels, "scores": scores}
        parts.append(pd.DataFrame(columns))
    path = files.frames(system)
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.concat(parts).to_parquet(path, index=False)


def _embeddings(files: Layout, table: pd.DataFrame, system: str) -> None:
    rng = np.random.default_rng(6)
    rows = table.loc[table["set"] == "eval_seen", ["utterance", "label", "attack"]]
    utterances, splices = [], []
    for encoder in ("foundation", system):
        vectors = list(rng.normal(size=(len(rows), 5)).astype(np.float32))
        utterances.append(rows.assign(encoder=encoder, embedding=vectors))
        cosines = rng.uniform(-1, 1, 16).astype(np.float32)
        splice = {"encoder": encoder, "splice": 0, "utterance": "u", "labels": [[0, 1, 1, 0]]}
        splices.append(pd.DataFrame({**splice, "similarity": [cosines]}))
    files.embeddings(system).parent.mkdir(parents=True, exist_ok=True)
    pd.concat(utterances).to_parquet(files.embeddings(system), index=False)
    pd.concat(splices).to_parquet(files.similarities(system), index=False)


class Page(HTMLParser):
    """The tags, ids, links and text of a page."""

    VOID = ("meta", "br", "img", "input", "link", "hr", "wbr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, key, value or "") for key, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, key, value or "") for key, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)

    def values(self, key: str) -> list[str]:
        return [value for _, name, value in self.attributes if name == key]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Context]:
    """A folder with a report on made-up results, and its context."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        context = fill()
        report.run(context, GRID)
    return folder, context


@pytest.fixture
def there(made: tuple[Path, Context], monkeypatch: pytest.MonkeyPatch) -> Context:
    """The context of the report; its folder is the current one."""
    monkeypatch.chdir(made[0])
    return made[1]


def test_the_page_asks_the_network_for_nothing(there: Context) -> None:
    text = there.files.report.read_text(encoding="utf-8")
    page = Page(text)
    for key in ("src", "href", "poster", "action", "data", "srcset", "xlink:href"):
        for value in page.values(key):
            assert value.startswith(("#", "data:")), f"{key}={value[:60]}"
    assert not re.search(r"https?://", text)
    assert not re.search(r"url\((?!#)", text)
    assert "@import" not in text
    assert any("default-src 'none'" in value for value in page.values("content"))


def test_ids_are_unique_and_every_reference_has_one(there: Context) -> None:
    text = there.files.report.read_text(encoding="utf-8")
    page = Page(text)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    wanted = {v[1:] for v in page.values("href") if v.startswith("#")} | set(
        re.findall(r"url\(#([^)]+)\)", text)
    )
    assert wanted <= set(ids)
    assert set(page.values("aria-labelledby")) <= set(ids)


def test_every_figure_of_the_result_table_is_on_the_page(there: Context) -> None:
    text = Page(there.files.report.read_text(encoding="utf-8")).text
    summary = read_json(there.files.summary)
    for system, entry in summary["systems"].items():
        for name in SETS:
            found = entry["sets"][name]
            low, high = (f"{100 * found[k]:.2f}" for k in ("eer_low", "eer_high"))
            assert f"{100 * found['eer']:.2f} [{low}, {high}]" in text
            cost = read_json(there.files.details(system))[name]
            assert f"{cost['min_dcf']:.4f} [{cost['min_dcf_low']:.4f}, " in text
    assert (
        there.files.table.read_text(encoding="utf-8").split()
        == text[text.index("| system") : text.index(" The table in LaTeX")].split()
    )
    assert r"mfpt & \textbf{" in text
    assert "1,234 56,789 2.17 %" in text
    assert "43.21" in text


def test_every_attack_rate_is_in_its_own_cell(there: Context) -> None:
    page = Page(there.files.report.read_text(encoding="utf-8"))
    titles = page.values("title")
    for system in GRID.system:
        details = read_json(there.files.details(system))
        for name in SETS:
            for attack, found in details[name]["by_attack"].items():
                low, high = (f"{100 * found[k]:.2f}" for k in ("eer_low", "eer_high"))
                assert f"{system}, {attack}: interval {low} to {high}" in titles
            for codec, found in details[name]["by_codec"].items():
                low, high = (f"{100 * found[k]:.2f}" for k in ("eer_low", "eer_high"))
                assert f"{system}, {codec}: interval {low} to {high}" in titles
    assert "world • 12 trials" in page.text
    assert "tts 12 trials" in page.text
    assert "alaw 12 + 6 trials" in page.text


def test_published_figures_stand_beside_the_measured_ones(there: Context) -> None:
    text = Page(there.files.report.read_text(encoding="utf-8")).text
    found = read_json(there.files.summary)["systems"]["mfpt"]["sets"]
    seen, partial = found["eval_seen"], found["eval_partial"]
    cell = f"{100 * seen['eer']:.2f} [{100 * seen['eer_low']:.2f}, {100 * seen['eer_high']:.2f}]"
    assert f"mfpt Corpus A , subset eval EER, % 4.50 {cell} trials made" in text
    assert "EER, % 12.30 \N{EN DASH} elsewhere" in text
    gap = f"{100 * abs(seen['eer'] - partial['eer']):.2f}"
    assert f"EER, distance to eval_partial, points 0.16 {gap} [" in text


def test_differences_are_those_of_the_table(there: Context) -> None:
    page = Page(there.files.report.read_text(encoding="utf-8"))
    pairs = pd.read_csv(there.files.comparisons)
    assert pairs[["set", "first", "second"]].to_numpy().tolist() == [
        [name, "lfcc", "mfpt"] for name in SETS
    ]
    for row in pairs.to_dict("records"):
        assert abs(row["difference"]) > 1e-4
        sign = "+" if row["difference"] >= 0 else "\N{MINUS SIGN}"
        assert f"{sign}{abs(100 * row['difference']):.2f}" in page.text
        assert (row["supported"], row["reason"]) in (
            (False, evaluation.ONE_TRAINING),
            (False, evaluation.BY_TRIALS),
        )
        said = f"(trials only), p {row['trials_p']:.4f}, after Holm"
        assert any(
            said in title and title.endswith(f"not supported: {row['reason']}")
            for title in page.values("title")
        )
    assert "no difference between two trainings can be supported" in page.text
    assert "no difference between two" in there.files.table.read_text(encoding="utf-8")
    assert "no difference between two" in there.files.table_latex.read_text(encoding="utf-8")


def test_known_and_unknown_attacks_are_apart(there: Context) -> None:
    text = Page(there.files.report.read_text(encoding="utf-8")).text
    table = there.files.table.read_text(encoding="utf-8")
    for system in GRID.system:
        sets = read_json(there.files.metrics(system))
        assert read_json(there.files.summary)["systems"][system]["sets"] == sets
        details = read_json(there.files.details(system))
        assert sets["eval_seen"]["known"] == details["eval_seen"]["by_attack"]["world"]
        assert sets["eval_seen"]["unknown"] == details["eval_seen"]["by_attack"]["tts"]
        assert sets["eval_partial"]["known"]["n_spoof"] == 0
        unknown = sets["eval_partial"]["unknown"]
        assert unknown["eer"] == sets["eval_partial"]["eer"]
        ends = (f"{100 * unknown[key]:.2f}" for key in ("eer_low", "eer_high"))
        cell = f"{100 * unknown['eer']:.2f} [{', '.join(ends)}]"
        assert cell in text
        assert cell in table
    assert "Known and unknown attacks" in text
    assert "Variance by trials and by training" not in text


def test_calibration_is_shown_before_and_after(there: Context) -> None:
    text = Page(there.files.report.read_text(encoding="utf-8")).text
    for system in GRID.system:
        details = read_json(there.files.details(system))
        for name in SETS:
            after = details[name]["calibrated"]
            before = details[name]
            cells = (before["act_dcf"], after["act_dcf"], before["cllr"], after["cllr"])
            assert " ".join(f"{value:.4f}" for value in cells) in text


def test_the_worst_errors_are_there_once_with_every_system(there: Context) -> None:
    data = collect.collect("made", there.preset, there.files, GRID, [])
    wanted = set()
    table = manifest.read(there.files.manifest)
    for system in GRID.system:
        for name in SETS:
            scores = scorefiles.read_scores(there.files.scores(system, name)).set_index("trial")
            some = table[table["set"] == name]
            for label, kind in (("spoof", "accepted"), ("bonafide", "rejected")):
                mine = scores.loc[some.loc[some["label"] == label, "utterance"], "score"]
                row = mine.idxmax() if kind == "accepted" else mine.idxmin()
                wanted.add((name, kind, row, system))
    found = {(m.set, m.kind, m.utterance, s[0]) for m in data.mistakes for s in m.systems}
    # An error that is none, on the right side of the threshold, is left out.
    assert found <= wanted
    assert len(found) >= len(wanted) - 2
    assert len({(m.set, m.kind, m.utterance) for m in data.mistakes}) == len(data.mistakes)
    for mistake in data.mistakes:
        assert (mistake.curve is not None) == (mistake.set == "eval_partial")
        assert mistake.wave is not None
        for _, score, threshold in mistake.systems:
            assert (score > threshold) == (mistake.kind == "accepted")


def test_a_page_that_is_full_has_no_more_players(
    there: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examples, "AUDIO_BYTES", 0)
    data = collect.collect("made", there.preset, there.files, GRID, [])
    assert {m.wave is None for m in data.mistakes} == {True}
    page = render.render(data, figures.draw(data))
    assert page.count("No player: the page has reached its size.") == len(data.mistakes)


def test_what_distortions_do_has_a_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    context = fill(GRID, HEARD)
    name = "eval_seen"
    distort.run(context, name)
    plan = pd.read_parquet(context.files.distortion_plan(name))
    score = np.random.default_rng(1).normal(size=len(plan))
    for seed in GRID.seed:
        path = replace(context.files, seed=seed).robust_scores("mfpt", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        plan[["condition", "utterance"]].assign(score=score).to_parquet(path)
    evaluate_robust.run(context, name, GRID)
    report.run(context, GRID)
    page = context.files.report.read_text(encoding="utf-8")
    section = page[page.index('id="robustness"') : page.index('id="mistakes"')]
    details = read_object(context.files.robust_details(name))
    for condition, rates in details["conditions"]["mfpt"].items():
        assert condition in section
        assert percent(rates["eer"]) in section
    worst = details["systems"]["mfpt"]["worst"]["condition"]
    assert f"mfpt under {worst}" in section
    heard = re.findall(r'src="data:audio/flac;base64,([^"]+)"', section)
    assert len(heard) == (2 if worst == "slow" else 3)
    waves = [soundfile.read(BytesIO(base64.b64decode(one)))[0] for one in heard]
    if worst != "slow":
        clean, distorted, difference = waves
        assert np.allclose(distorted - clean, difference, atol=2 / 32768)
    assert pd.read_csv(context.files.figure("robustness.csv"))["condition"].nunique() == 4
    assert pd.read_csv(context.files.figure("degradation.csv"))["strength"].tolist() == [-12, -6]


def test_text_from_the_preset_is_escaped(there: Context) -> None:
    text = there.files.report.read_text(encoding="utf-8")
    assert "<up>" not in text
    assert TITLE in Page(text).text


def test_the_audio_is_the_rendered_splice(there: Context) -> None:
    page = Page(there.files.report.read_text(encoding="utf-8"))
    sounds = [v for tag, key, v in page.attributes if (tag, key) == ("audio", "src")]
    frames = pd.read_csv(there.files.figure("localisation.csv"))
    assert frames.groupby("set")["utterance"].nunique().to_dict() == {
        "heldout": 2,
        "eval_partial": 2,
    }
    mistakes = collect.collect("made", there.preset, there.files, GRID, []).mistakes
    assert len(sounds) == 4 + len(mistakes)
    table = manifest.read(there.files.manifest)
    plan = planning.read_plan(there.files.plan("heldout"))
    where = dict(zip(table["utterance"], manifest.refs(table), strict=True))
    row = plan[(plan["base"] == frames["utterance"].iloc[0]) & (plan["injector"] != "")]
    wave, labels = rendering.load(rendering.recipes(row, where)[0], FRAMES, examples.audio.read)
    assert sounds[0].split(",")[1] == base64.b64encode(encode_flac(wave)).decode()
    heard, rate = soundfile.read(BytesIO(base64.b64decode(sounds[0].split(",")[1])))
    assert (rate, len(heard)) == (16_000, len(wave))
    one = frames[frames["utterance"] == row["base"].iloc[0]]
    assert one["injected"].tolist() == (labels == 1).tolist()


def test_figures_decode_and_have_their_data(there: Context) -> None:
    # No head of this grid votes, and no two systems are alike: these figures only say so.
    for name in set(NAMES) - {"votes", "variants", "robustness", "degradation"}:
        with Image.open(there.files.figure(f"{name}.png")) as image:
            image.load()
            assert min(image.size) > 100
            assert "Software" not in image.info
        assert there.files.figure(f"{name}.svg").read_text().rstrip().endswith("</svg>")
        assert len(pd.read_csv(there.files.figure(f"{name}.csv"))) > 0
    assert not list(there.files.root.glob(".*"))


def test_a_further_figure_has_files_and_a_section(
    there: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def figure(data: collect.Collected) -> draw.Drawing:
        panels = {"Hours of each set": lambda canvas: canvas.subplots().plot(data.corpus["hours"])}
        return draw.Drawing(data.corpus, panels, (3, 2), "All <b>hours</b>.", title="Hours")

    assert tuple(figures.FIGURES) == NAMES
    monkeypatch.setitem(figures.FIGURES, "hours", figure)
    data = collect.collect("made", there.preset, there.files, GRID, [])
    page = Page(render.render(data, figures.draw(data)))
    assert "Hours of each set" in page.values("aria-label")
    assert "hours" in page.values("aria-labelledby")
    assert "All hours . Made by" in page.text


def test_what_is_not_defined_is_drawn_as_a_dash_or_not_at_all() -> None:
    grid = GRID.model_copy(update={"set": ["e"]})
    rates = pd.DataFrame({"system": ["lfcc", "mfpt"], "set": "e", "value": "alaw", "seen": False})
    cells = conditions.drawing(rates.assign(eer=[0.25, np.nan]), GRID.system, ["e"], "")
    drawn = draw.to_svg(cells.whole(), text=True)
    assert "25.00" in drawn
    assert "\N{EN DASH}" in drawn
    none = conditions.drawing(rates[:0].assign(eer=0.1), GRID.system, ["e"], "")
    assert "one condition each" in draw.to_svg(none.whole(), text=True)
    costs = pd.DataFrame({"system": ["lfcc", "mfpt"], "set": "e", "cllr": [0.5, 3.0]})
    costs = costs.assign(calibrated_cllr=[0.4, np.nan])
    left, right = calibration.drawing(costs, grid).whole().axes[0].get_xlim()
    assert left < 0.4
    assert right > 3.0


@pytest.mark.parametrize(
    ("template", "figure"),
    [("det", "det"), ("distributions", "histograms"), ("spliced", "spliced")],
)
def test_dvc_draws_columns_that_are_there(there: Context, template: str, figure: str) -> None:
    drawing = json.loads((REPO / ".dvc" / "plots" / f"{template}.json").read_text())
    stages = yaml.safe_load((REPO / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    plot = next(
        options
        for entry in stages["report"]["plots"]
        for path, options in entry.items()
        if path.endswith(f"figures/{figure}.csv")
    )
    assert plot["template"] == template
    made = {"rev", "<DVC_METRIC_X>", "<DVC_METRIC_Y>"}
    steps = drawing.get("transform", [])
    made |= {step["as"] for step in steps if isinstance(step.get("as"), str)}
    made |= {w["as"] for step in steps for w in step.get("window", [])}
    columns = set(pd.read_csv(there.files.figure(f"{figure}.csv")).columns)
    used = set(re.findall(r'"field": "([^"]+)"', json.dumps(drawing)))
    # What a fold makes of the columns of the two classes.
    made |= {name for step in steps if "fold" in step for name in step["as"]}
    assert used <= columns | made
    assert {plot["x"], plot["y"]} <= columns


def test_histograms_count_every_trial(there: Context) -> None:
    counts = pd.read_csv(there.files.figure("histograms.csv"))
    totals = counts.groupby(["system", "set"])[["bonafide", "spoof"]].sum()
    assert totals.loc[("mfpt", "eval_seen")].tolist() == [12, 24]
    assert totals.loc[("lfcc", "eval_partial")].tolist() == [12, 12]


def test_the_instruction_sets_of_the_trainings_are_on_the_page(there: Context) -> None:
    assert "instruction set avx2 python" in Page(there.files.report.read_text("utf-8")).text
    text = there.files.summary.read_text(encoding="utf-8")
    changed = json.loads(text)
    changed["systems"]["lfcc"]["isa"] = "native"
    try:
        write_json(there.files.summary, changed)
        data = collect.collect("made", there.preset, there.files, GRID, [])
    finally:
        write_text(there.files.summary, text)
    assert ("instruction set", "avx2, native") in data.versions
    assert data.native == ["lfcc"]


def test_what_departs_from_the_committed_bytes_is_marked(
    there: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def text(departing: list[str], native: list[str]) -> str:
        data = collect.collect("made", there.preset, there.files, GRID, departing)
        return Page(render.render(replace(data, native=native), figures.draw(data))).text

    computes_alike = "computes as the one with the committed results does"
    agreed = text([], [])
    assert computes_alike in agreed
    assert "isa: native" not in agreed
    marked = text(["torch functions", "FFmpeg G.722"], ["mfpt"])
    assert computes_alike not in marked
    assert "trains other systems: torch functions, FFmpeg G.722." in marked
    assert "on the instruction set that the processor chose: mfpt." in marked


def spliced_trials(scores: list[float]) -> pd.DataFrame:
    """Two bona fide trials, one spoofed as a whole, and four with parts of 0.1 to 0.4 s of 1 s."""
    regions = [[], [], [], [0, 1600], [0, 1600, 8000, 9600], [0, 4800], [0, 6400]]
    table = pd.DataFrame({"score": scores, "regions": regions, "samples": 16_000})
    return table.assign(label=["bonafide"] * 2 + ["spoof"] * 5)


def test_the_rate_of_spliced_trials_is_by_quarters_of_share_and_of_longest_region() -> None:
    # Of the two with regions of 0.1 s, one or two of them, the first scores above bona fide.
    first = spliced_trials([1.0, 2.0, 9.0, 3.0, 0.0, 0.0, 0.0])
    rows = pd.DataFrame(spliced.by_region([first]))
    share = rows[rows["measure"] == "share"]
    assert share["median"].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert share["eer"].tolist() == [1.0, 0.0, 0.0, 0.0]
    longest = rows[rows["measure"] == "longest"]
    # The longest regions of these two are equal, so they stay together.
    assert longest["median"].tolist() == pytest.approx([0.1, 0.3, 0.4])
    assert longest["n_spoof"].tolist() == [2, 1, 1]
    assert longest["eer"].tolist() == [0.5, 0.0, 0.0]
    assert (rows["n_bonafide"] == 2).all()
    second = spliced_trials([1.0, 2.0, 9.0, 0.0, 0.0, 0.0, 0.0])
    both = pd.DataFrame(spliced.by_region([first, second]))
    assert both["eer"].tolist() == [0.5, 0.0, 0.0, 0.0, 0.25, 0.0, 0.0]
    assert spliced.by_region([first.iloc[:3]]) == []


def test_every_system_has_a_line_by_how_much_was_spliced(there: Context) -> None:
    rates = pd.read_csv(there.files.figure("spliced.csv"))
    assert set(rates["set"]) == {"eval_partial"}
    assert set(rates["system"]) == set(GRID.system)
    assert rates.groupby(["system", "measure"])["n_spoof"].sum().tolist() == [12] * 4
    labels = Page(there.files.report.read_text(encoding="utf-8")).values("aria-label")
    assert sum(label.startswith("EER on eval_partial by") for label in labels) == 2
    none = spliced_figure.drawing(rates[:0], GRID)
    assert (none.panels, none.title) == ({}, "")


def test_a_second_run_writes_the_same_bytes(there: Context) -> None:
    paths = [there.files.report, *sorted(there.files.figure("x").parent.iterdir())]
    before = {path: path.read_bytes() for path in paths}
    report.run(there, GRID)
    assert {path: path.read_bytes() for path in paths} == before


def test_without_post_trained_systems_there_is_no_localisation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    grid = Grid(
        system=["lfcc"],
        classical=["lfcc"],
        foundation=[],
        posttrained=[],
        borrowing=[],
        lender="",
        voting=[],
        localising=[],
        seed=[0],
        set=["eval_seen"],
    )
    context = fill(grid)
    report.run(context, grid)
    page = Page(context.files.report.read_text(encoding="utf-8"))
    assert "localisation" not in page.values("id")
    assert "14 Parameters, versions, assumptions" in page.text
    assert read_json(context.files.regions) == {"localisers": [], "differences": []}
    # DVC expects every output of the stage, whatever the grid.
    assert len(list(context.files.figure("x").parent.iterdir())) == 3 * len(NAMES)


def test_a_localiser_outside_the_grid_is_refused(there: Context) -> None:
    values = there.preset.model_dump()
    values["report"]["localiser"] = "utterance_ft"
    preset = Preset.model_validate(values)
    with pytest.raises(MixframeError, match=r"report.localiser = 'utterance_ft'.*one of mfpt"):
        report.run(Context("made", preset, GRID, there.files, there.compute, 0), GRID)


def test_results_of_another_grid_are_refused(there: Context) -> None:
    grid = GRID.model_copy(update={"set": ["eval_seen"]})
    with pytest.raises(
        MixframeError, match=r"summary.json: has the systems lfcc, mfpt and the sets"
    ):
        report.run(there, grid)


@pytest.fixture
def stages(tmp_path: Path) -> Pipeline:
    write_text(tmp_path / "dvc.yaml", DAG)
    return read_pipeline(tmp_path / "dvc.yaml")


def test_edges_join_outputs_to_dependencies(stages: Pipeline) -> None:
    assert stages.edges == [
        Edge("make", "train", "results/${item.preset}/corpus/table.parquet", False),
        Edge("make", "judge", "results/demo/corpus", True),
        Edge("train", "judge", "results/demo/models/a/weights.bin", False),
    ]
    assert stages.stages == [
        Stage("make", "tool make --preset PRESET", ()),
        Stage("train", "tool train --system SYSTEM", ("system",)),
        Stage("judge", "tool judge", ()),
        Stage("alone", "tool alone && tool done", ()),
    ]


def test_layers_follow_dependencies(stages: Pipeline) -> None:
    places, ways = layout(stages)
    layers = {name: layer for name, (_, layer) in places.items()}
    assert layers == {"make": 0, "alone": 0, "train": 1, "judge": 2}
    assert len(set(places.values())) == len(places)
    assert ways == [[places["make"], places["train"]], [places["train"], places["judge"]]]


def test_a_long_edge_bends_past_the_nodes_between() -> None:
    pairs = ["ab", "bc", "cd", "af", "fe", "de", "ax"]
    names = sorted(set("".join(pairs)))
    edges = [Edge(a, b, "", False) for a, b in pairs]
    places, ways = layout(Pipeline([Stage(name, "", ()) for name in names], edges))
    long = next(way for way in ways if way[0] == places["f"])
    assert [layer for _, layer in long] == [1, 2, 3, 4]
    assert not set(places.values()) & set(long[1:-1])


def test_a_circle_of_stages_is_named(tmp_path: Path) -> None:
    stages = {"a": {"deps": ["x"], "outs": ["y"]}, "b": {"deps": ["y"], "outs": ["x"]}}
    path = tmp_path / "dvc.yaml"
    write_text(path, yaml.safe_dump({"stages": stages}))
    with pytest.raises(MixframeError, match="circle: a -> b"):
        read_pipeline(path)


def test_the_lowest_rate_is_bold_and_supported_differences_are_named() -> None:
    rates = [("a", 0.10, 0.08, 0.12), ("b", 0.11, 0.12, 0.13), ("c", 0.30, 0.25, 0.40)]
    results = pd.DataFrame(rates, columns=["system", "eer", "eer_low", "eer_high"]).assign(set="s")
    rows = render.result_rows(results, ["a", "b", "c"], ["s"])
    assert [row["cells"][0]["best"] for row in rows] == [True, False, False]
    assert rows[0]["cells"][0]["bar"] == {"left": "20.0%", "width": "10.0%", "at": "25.0%"}
    pairs = [("b", "a", 0.01, False), ("a", "c", -0.2, True), ("b", "c", -0.19, True)]
    found = pd.DataFrame(pairs, columns=["first", "second", "difference", "supported"]).assign(
        set="s", low=-0.3, high=0.1, p_value=0.002, p_holm=0.006, reason="trials"
    )
    found = found.assign(trials_low=-0.2, trials_high=0.0)
    said = render.readings(results, found, ["s"])[0]
    assert (said["best"]["system"], said["apart"], said["level"]) == ("a", ["c"], ["b"])
    table = dict(render.difference_rows(found, ["a", "b", "c"], "s"))
    assert [cell["class"] for cell in table["a"]] == ["same", "open", "lower"]
    assert [cell["class"] for cell in table["c"]] == ["higher", "higher", "same"]
    assert [cell["text"] for cell in table["a"]] == [
        "",
        "\N{MINUS SIGN}1.00",
        "\N{MINUS SIGN}20.00",
    ]
    assert table["c"][0]["title"].startswith("c minus a: interval -10.00 to 30.00, p 0.0020")


def test_frame_auc_ranks_utterances_and_counts_ties_half() -> None:
    labels = [np.array([1, 0, 0]), np.array([0, 0]), np.array([1, 1, 0, 0]), np.array([1, 0])]
    scores = [np.array([-1.0, 0, 1]), np.zeros(2), np.array([0.0, 3, 1, 2]), np.zeros(2)]
    ranked = examples.rank(labels, scores)
    assert ranked == [(0.5, 2), (0.5, 3), (1.0, 0)]


@pytest.mark.parametrize(
    ("total", "count", "places"), [(9, 1, [4]), (9, 3, [1, 4, 7]), (2, 3, [0, 1]), (0, 3, [])]
)
def test_examples_are_spread_over_the_ranking(total: int, count: int, places: list[int]) -> None:
    assert examples.spread(total, count) == places


def test_fifteen_systems_have_lines_of_their_own() -> None:
    names = [f"s{i}" for i in range(15)]
    grid = Grid(
        system=names,
        classical=names[:2],
        foundation=names[2:7],
        posttrained=names[7:],
        borrowing=[],
        lender="",
        voting=[],
        localising=[],
        seed=[0],
        set=["e"],
    )
    assert len(set(draw.lines(grid).values())) == 15


SOUNDS = """
Promise.all([...document.querySelectorAll("audio")].map(sound => new Promise(done => {
  const tell = () => done(sound.error ? sound.error.message : sound.duration > 0);
  if (sound.error || sound.readyState > 0) tell();
  else { sound.onloadedmetadata = sound.onerror = tell; sound.load(); }
})))
"""
DRAWINGS = """
[...document.querySelectorAll("svg, img")].map(e => {
  const box = e.getBoundingClientRect();
  return e.complete === false || e.naturalWidth === 0 || !(box.width > 0 && box.height > 0);
}).filter(Boolean).length
"""
CONTRAST = """
(() => {
  const parts = c => c.match(/[0-9.]+/g).map(Number);
  const light = c => {
    const linear = v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
    const [r, g, b] = parts(c).map(v => linear(v / 255));
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const style = getComputedStyle(document.body);
  const [a, b] = [light(style.color), light(style.backgroundColor)];
  return [(Math.max(a, b) + .05) / (Math.min(a, b) + .05), a > b];
})()
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_whole(
    there: Context, browser: chromium.Browser, tmp_path: Path, scheme: str, width: int
) -> None:
    browser.open(there.files.report, width, 844, scheme)
    browser.value('document.querySelectorAll("details").forEach(d => { d.open = true; })')
    sounds = browser.value(SOUNDS)
    assert sounds
    assert set(sounds) == {True}
    assert browser.value(DRAWINGS) == 0
    assert browser.value("document.documentElement.scrollWidth") == width
    contrast, light_ink = browser.value(CONTRAST)
    assert contrast > 7
    assert light_ink == (scheme == "dark")
    asked = [p["request"]["url"] for p in browser.reported("Network.requestWillBeSent")]
    assert asked[0].startswith("file:")
    assert {url.partition(":")[0] for url in asked[1:]} <= {"data"}
    assert browser.reported("Runtime.exceptionThrown", "Runtime.consoleAPICalled") == []
    assert [p["entry"]["text"] for p in browser.reported("Log.entryAdded")] == []
    browser.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 50_000


def test_a_click_on_a_curve_moves_the_sound(there: Context, browser: chromium.Browser) -> None:
    browser.open(there.files.report, 1280, 844, "light")
    browser.value(SOUNDS)
    at = browser.value(
        """(() => {
          const track = document.querySelector(".track");
          const audio = track.parentElement.querySelector("audio");
          const box = track.getBoundingClientRect();
          track.dispatchEvent(new MouseEvent("click", { clientX: box.left + box.width / 2 }));
          return audio.currentTime / audio.duration;
        })()"""
    )
    left, right = localisation.TRACK
    assert at == pytest.approx((0.5 - left) / (right - left), abs=0.02)


def test_every_localiser_has_its_rates_by_duration_and_by_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    context = fill()
    files, grid = context.files, GRID.model_copy(update={"localising": ["lfcc"]})
    files.located("lfcc").parent.mkdir(parents=True, exist_ok=True)
    frames = pd.read_parquet(files.frames("mfpt"))
    # Another training, of which one frame in three is right.
    mixed = frames.assign(scores=[np.where(np.arange(len(x)) % 3, -x, x) for x in frames["scores"]])
    mixed.to_parquet(files.located("lfcc"), index=False)
    evaluate_regions.run(context, grid)
    report.run(context, grid)
    regions = read_json(files.regions)
    rows = regions["localisers"]
    assert [(r["stage"], r["system"], r["set"]) for r in rows] == [
        ("posttrain", "mfpt", "eval_partial"),
        ("finetune", "lfcc", "eval_partial"),
    ]
    page = Page(files.report.read_text(encoding="utf-8"))
    text = page.text
    for row in rows:
        for figure in [row["range"], *row["segments"].values()]:
            assert figure["low"] <= figure["eer"] <= figure["high"]
            low, high = (f"{100 * figure[end]:.2f}" for end in ("low", "high"))
            assert f"{100 * figure['eer']:.2f} [{low}, {high}]" in text
    assert rows[0]["range"]["eer"] < rows[1]["range"]["eer"]

    assert [pair["rate"] for pair in regions["differences"]] == ["range", "0.02"]
    for pair in regions["differences"]:
        assert (pair["first"], pair["second"]) == ("mfpt (posttrain)", "lfcc (finetune)")
        assert pair["difference"] < 0
        assert (pair["low"], pair["supported"], pair["reason"]) == (None, False, "one training")
        points = f"\N{MINUS SIGN}{abs(100 * pair['difference']):.2f}"
        assert "mfpt (posttrain) lfcc (finetune) eval_partial" in text
        assert f"{points} [" in text

    table = pd.read_csv(files.figure("regions.csv"))
    # All regions of the set are equally long, and stay together.
    assert table[["set", "localiser", "median", "n_bonafide", "n_spoof"]].to_numpy().tolist() == [
        ["eval_partial", "mfpt (posttrain)", 0.2, 12, 12],
        ["eval_partial", "lfcc (finetune)", 0.2, 12, 12],
    ]
    assert table["eer"].tolist() == [row["range"]["eer"] for row in rows]
    assert "EER by duration on eval_partial by the longest spoofed region" in page.values(
        "aria-label"
    )

    frames = pd.read_csv(files.figure("localisation.csv"))
    curves = frames.groupby(["set", "utterance", "localiser"], sort=False)["probability"]
    assert len(curves) == 2 * (2 + 2)
    name, utterance, _ = next(iter(curves.groups))
    for localiser, path in (
        ("mfpt (posttrain)", files.frames("mfpt")),
        ("lfcc (finetune)", files.located("lfcc")),
    ):
        scored = pd.read_parquet(path)
        heldout = scored[scored["set"] == "heldout"]
        row = heldout[heldout["utterance"] == utterance].iloc[0]
        threshold = frame_threshold(heldout)
        shown = curves.get_group((name, utterance, localiser)).to_numpy()
        assert (shown > 0.5).tolist() == (row["scores"] < threshold).tolist()


def test_a_system_that_learnt_frames_alone_has_the_section(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    grid = GRID.model_copy(update={"foundation": ["mfpt"], "posttrained": []})
    context = fill(GRID)
    files = context.files
    files.frames("mfpt").rename(files.located("mfpt"))
    grid = grid.model_copy(update={"localising": ["mfpt"]})
    evaluate_regions.run(context, grid)
    report.run(context, grid)
    page = Page(files.report.read_text(encoding="utf-8"))
    assert "localisation" in page.values("id")
    assert "mfpt (finetune)" in page.text
    assert "Frames of the post-trained classifiers" not in page.text


def test_several_seeds_show_mean_and_deviation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    context = fill()
    grid = GRID.model_copy(update={"seed": [0, 1]})
    second = replace(context.files, seed=1)
    for system in GRID.system:
        for name in ["dev", *GRID.set]:
            rows = scorefiles.read_scores(context.files.scores(system, name))
            moved = rows["score"] + np.random.default_rng(3).normal(size=len(rows))
            scorefiles.write_scores(second.scores(system, name), rows["trial"].tolist(), moved)
    for system in GRID.posttrained:
        shutil.copy(context.files.frames(system), second.frames(system))
        evaluate_frames.run(context, system, grid)
    for system in GRID.system:
        evaluate.run(context, system, grid)
    evaluate_regions.run(context, grid)
    summary.run(context, grid)
    report.run(context, grid)
    figures = read_json(context.files.metrics("lfcc"))["eval_seen"]
    page = Page(context.files.report.read_text(encoding="utf-8"))
    assert f"{100 * figures['eer']:.2f} ± {100 * figures['eer_std']:.2f}" in page.text
    assert "seeds 0, 1" in page.text
    low, high = (f"{100 * figures[f'eer_both_{end}']:.2f}" for end in ("low", "high"))
    assert f"± {100 * figures['eer_std']:.2f} [{low}, {high}]" in page.text
    assert "2 seeds: mean" in page.text
    split = " / ".join(f"{100 * figures[f'eer_sd_{part}']:.2f}" for part in ("trials", "training"))
    assert "Variance by trials and by training" in page.text
    assert split in page.text
    assert split in context.files.table.read_text(encoding="utf-8")
    pairs = pd.read_csv(context.files.comparisons)
    assert pairs["p_value"].notna().all()
    assert "(trials only)" not in "".join(page.values("title"))
