"""Where everything lies: the one place that names files. dvc.yaml names the same ones."""

from dataclasses import dataclass
from pathlib import Path

from mixframe.base.folders import STATE

HELDOUT = "heldout"
"""The splice policy whose splices of the dev set judge every post-training."""


@dataclass(frozen=True)
class Layout:
    """The files of one preset, relative to the repository root.

    Attributes:
        seed: of the training whose files are meant, where each seed of the grid has its own.
        base: the preset whose corpus and foundation model these are; "" for its own.
        trained: the preset whose systems and figures these are; "" for its own.
    """

    preset: str
    seed: int = 0
    base: str = ""
    trained: str = ""

    @property
    def base_root(self) -> Path:
        """Folder of the corpus and the foundation model."""
        return Path("results") / (self.base or self.preset)

    @property
    def trained_root(self) -> Path:
        """Folder of the systems and of what is measured of them."""
        return Path("results") / (self.trained or self.preset)

    @property
    def root(self) -> Path:
        """Folder of everything else the preset makes."""
        return Path("results") / self.preset

    @property
    def download(self) -> Path:
        """What was downloaded, pinned by sha256."""
        return self.base_root / "download" / "download.json"

    @property
    def manifest(self) -> Path:
        """The manifest (`mixframe.audio.manifest`)."""
        return self.base_root / "corpus" / "manifest.parquet"

    @property
    def audio(self) -> Path:
        """Audio that the corpus generates; an empty tar where it brings its own."""
        return self.base_root / "corpus" / "audio.tar"

    @property
    def protocol(self) -> Path:
        """The ASVspoof-style protocol of the manifest."""
        return self.base_root / "corpus" / "protocol.txt"

    @property
    def left_out(self) -> Path:
        """Trials that the manifest lacks, and audio that no protocol names."""
        return self.base_root / "checks" / "left_out.csv"

    @property
    def shortcuts(self) -> Path:
        """EER of trivial statistics, by set."""
        return self.base_root / "checks" / "shortcuts.csv"

    def plan(self, policy: str) -> Path:
        """Splice plan of a post-trained system, or of the policy heldout."""
        folder = HELDOUT if policy == HELDOUT else f"splice/{policy}/{self.seed}"
        return self.trained_root / folder / "plan.parquet"

    @property
    def foundation(self) -> Path:
        """Folder of the foundation model."""
        return self.base_root / "pretrain"

    def posttrained(self, system: str) -> Path:
        """Folder of a post-trained encoder and its frame classifier."""
        return self.trained_root / "posttrain" / system / str(self.seed)

    def frames(self, system: str) -> Path:
        """Frame scores and labels of held-out splices and of sets with known regions."""
        return self.scores(system, "frames").with_suffix(".parquet")

    def located(self, system: str) -> Path:
        """Frame scores and labels, as `frames`, of a system that has learnt from frame labels."""
        return self.scores(system, "located").with_suffix(".parquet")

    def finetuned(self, system: str) -> Path:
        """Folder of a trained system: card.json pins everything else by sha256."""
        return self.trained_root / "finetune" / system / str(self.seed)

    def curve(self, stage: str, system: str = "") -> Path:
        """Training curve of a stage."""
        if not system:
            return self.base_root / stage / "curve.csv"
        return self.trained_root / "curves" / f"{stage}-{system}-{self.seed}.csv"

    def scores(self, system: str, set_name: str) -> Path:
        """Countermeasure scores of one system on one set."""
        return self.trained_root / "scores" / system / str(self.seed) / f"{set_name}.tsv"

    def votes(self, system: str) -> Path:
        """Which frames a voting head chose, and which were injected."""
        return self.scores(system, "votes").with_suffix(".parquet")

    def vote_metrics(self, system: str) -> Path:
        """How many of the chosen frames were injected."""
        return self.trained_root / "details" / f"votes-{system}-{self.seed}.json"

    def embeddings(self, system: str) -> Path:
        """Means over the frames of utterances, before and after post-training."""
        return self.trained_root / "details" / f"embeddings-{system}.parquet"

    def similarities(self, system: str) -> Path:
        """Similarity of the frames of held-out splices, before and after post-training."""
        return self.trained_root / "details" / f"similarity-{system}.parquet"

    def metrics(self, system: str) -> Path:
        """Figures of one system, small enough for `dvc metrics show`."""
        return self.trained_root / "metrics" / f"{system}.json"

    def frame_metrics(self, system: str) -> Path:
        """Frame-level figures of a post-trained encoder's frame classifier."""
        return self.trained_root / "details" / f"frames-{system}.json"

    @property
    def regions(self) -> Path:
        """How well every localiser says where speech is spoofed."""
        return self.trained_root / "details" / "regions.json"

    def details(self, system: str) -> Path:
        """Figures of one system by attack, and everything else the report shows."""
        return self.trained_root / "details" / f"{system}.json"

    def det(self, system: str) -> Path:
        """DET points of one system on every set, thinned for plotting."""
        return self.trained_root / "det" / f"{system}.csv"

    @property
    def summary(self) -> Path:
        """The result table of all systems."""
        return self.trained_root / "summary" / "summary.json"

    @property
    def table(self) -> Path:
        """The result table in Markdown."""
        return self.trained_root / "summary" / "table.md"

    @property
    def table_latex(self) -> Path:
        """The result table in LaTeX."""
        return self.trained_root / "summary" / "table.tex"

    @property
    def comparisons(self) -> Path:
        """Differences of every two systems on the same trials, and which are supported."""
        return self.trained_root / "summary" / "comparisons.csv"

    @property
    def report(self) -> Path:
        """The report, one self-contained file."""
        return self.root / "report.html"

    def figure(self, name: str) -> Path:
        """A figure of the report."""
        return self.root / "figures" / name

    def distortion_plan(self, set_name: str) -> Path:
        """Which utterances of a set are distorted how."""
        return self.root / "distort" / set_name / "plan.parquet"

    def robust_scores(self, system: str, set_name: str) -> Path:
        """Scores of one system under every condition of a plan."""
        return self.root / "robust" / system / str(self.seed) / f"{set_name}.parquet"

    def robust_details(self, set_name: str) -> Path:
        """Figures of the systems under every condition of a plan."""
        return self.root / "details" / f"robustness-{set_name}.json"

    def robust_metrics(self, set_name: str) -> Path:
        """The few of them that sum up a system, small enough for `dvc metrics show`."""
        return self.root / "metrics" / f"robustness-{set_name}.json"

    def robust_examples(self, set_name: str) -> Path:
        """The worst cases to listen to."""
        return self.root / "details" / f"robustness-{set_name}.parquet"

    def robust_table(self, set_name: str) -> Path:
        """The same as a table in Markdown."""
        return self.root / "robustness" / f"{set_name}.md"

    @property
    def timings(self) -> Path:
        """Seconds each stage took, last time it ran on this machine."""
        return STATE / self.preset / "timings.json"

    def state(self, stage: str, cell: str, key: str) -> Path:
        """Checkpoint of a training stage with this configuration and these inputs."""
        return STATE / self.preset / f"{stage}-{cell}-{key[:16]}.pt"

    def lock(self, stage: str, cell: str) -> Path:
        """Lock of one cell of a stage."""
        return STATE / self.preset / f"{stage}-{cell}.lock"
