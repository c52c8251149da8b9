#!/usr/bin/env bash
# Builds wheel and source distribution, and tries each in an empty environment without a compiler:
# a project, a preset, an evaluation, the forecast's help. Needs uv; takes minutes and 6 GB a try.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A copy, for building leaves folders behind.
mkdir "$work/tree"
git -C "$root" ls-files -co --exclude-standard -z -- . ':!results' ':!tests' |
    tar -C "$root" --null --files-from - --ignore-failed-read -cf - | tar -C "$work/tree" -xf -
(cd "$work/tree" && uv build --quiet --python "$python" --out-dir "$work/dist")
ls "$work/dist"

# What is on the PATH but compilers.
mkdir "$work/bin"
IFS=: read -ra folders <<<"$PATH"
for folder in "${folders[@]}"; do
    for program in "$folder"/*; do
        name=$(basename "$program")
        case $name in
        cc | c++ | c89* | c99* | cpp* | ld | *-ld | *gcc* | *g++* | *clang* | dvc | mixframe | snakemake) ;;
        *) [ -e "$work/bin/$name" ] || ln -s "$program" "$work/bin/$name" ;;
        esac
    done
done
export PATH="$work/bin" DVC_NO_ANALYTICS=1
unset PYTHONPATH
if command -v cc gcc g++ clang; then
    echo "a compiler is on the PATH" >&2
    exit 1
fi

for built in "$work"/dist/*; do
    rm -rf "$work/environment" "$work/x"
    uv venv --quiet --python "$python" "$work/environment"
    VIRTUAL_ENV="$work/environment" uv pip install --quiet "$built"
    (
        export PATH="$work/environment/bin:$PATH"
        cd "$work"
        mixframe init x
        cd x
        mixframe use smoke
        python - <<'END'
from pathlib import Path

labels = ["bonafide", "spoof"] * 50
names = [f"E_{i:04d}" for i in range(100)]
attacks = ["-" if label == "bonafide" else "A01" for label in labels]
Path("keys.txt").write_text(
    "".join(
        f"S{i % 7} {name} M - - - {attack} {attack} {label} -\n"
        for i, (name, attack, label) in enumerate(zip(names, attacks, labels))
    )
)
scores = [(i * 37 % 100) / 50 + (l == "bonafide") for i, l in enumerate(labels)]
Path("scores.txt").write_text(
    "filename\tcm-score\n" + "".join(f"{n}\t{s}\n" for n, s in zip(names, scores))
)
END
        mixframe evaluate scores.txt --keys keys.txt
        mixframe dag | tail -1
        mixframe doctor --help | head -3
        if python -c "import pyworld" 2>/dev/null; then
            echo "pyworld is among the core's packages" >&2
            exit 1
        fi
    )
    echo "$(basename "$built"): works"
done
