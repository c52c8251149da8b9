"""Small folders in the exact layouts of the corpora of presets/corpora."""

from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import soundfile

from tests.conftest import tone


class Layout(NamedTuple):
    """A corpus on disk.

    Attributes:
        texts: path and content of files with labels.
        audio: paths of audio files.
        trials: utterance, set, label, speaker and attack of each trial that a preset sees.
        unknown: how the file with labels, or a path, changes so that a label word is unknown.
        samples: of a file at 16 kHz, at least.
    """

    texts: dict[str, str]
    audio: list[str]
    trials: set[tuple[str, str, str, str, str]]
    unknown: tuple[str, str] = ("", "")
    samples: int = 1600


class Partly(NamedTuple):
    """A partly spoofed corpus on disk, one part of it.

    Attributes:
        part: its name.
        protocol: path of the file with a line a trial.
        texts, audio, trials: as of `Layout`.
        regions: of each trial, in samples.
        unknown: a file, and how it changes so that a label is unknown; where labels have words.
    """

    part: str
    protocol: str
    texts: dict[str, str]
    audio: list[str]
    trials: set[tuple[str, str, str, str, str]]
    regions: dict[str, list[int]]
    unknown: tuple[str, str, str] | None
    samples: int = 16_000


def sound(path: Path, seed: int, samples: int = 1600) -> None:
    """Write a sound at 16 kHz in the format of a file's suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = tone(samples + seed, seed)
    if path.suffix in (".wav", ".flac", ".mp3"):
        soundfile.write(path, wave, 16_000)
        return
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], "fltp", "mono")
        frame.sample_rate = 16_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


def build(layout: Layout | Partly, folder: Path) -> Path:
    """Write a corpus into a folder."""
    for name, text in layout.texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode())
    for i, name in enumerate(layout.audio):
        # The labels of parts end where the audio does.
        sound(folder / name, i, layout.samples - (i if isinstance(layout, Partly) else 0))
    return folder


VOCODERS = ("diffwave", "melgan", "parallel_wave_gan", "wavegrad", "wavenet", "wavernn")
BASES = ("1034_121119_000010_000004", "78_368_000009_000000")
LD = "protocols/ASVspoofLauneredDatabase"
MLAAD = (
    "path|original_file|language|is_original_language|duration|training_data|model_name|"
    "architecture|transcript\n"
)

LAYOUTS = {
    "own": Layout(
        {"labels.csv": "file,label\na.wav,real\nb.wav,real\nc.wav,fake\nd.wav,fake\n"},
        ["a.wav", "b.wav", "c.wav", "d.wav"],
        {
            ("a", "eval_own", "bonafide", "-", "-"),
            ("b", "eval_own", "bonafide", "-", "-"),
            ("c", "eval_own", "spoof", "-", "unknown"),
            ("d", "eval_own", "spoof", "-", "unknown"),
        },
        (",fake", ",F"),
    ),
    "spoofceleb": Layout(
        {
            "metadata/train.csv": "file,speaker,attack\na00/id10001/x-1.flac,id10001,a00\n",
            "metadata/development.csv": "file,speaker,attack\na01/id10002/y-1.flac,id10002,a01\n",
            "metadata/evaluation.csv": (
                "file,speaker,attack\n"
                "a00/id10318/YYsxcZ5saac-00002-006.flac,id10318,a00\n"
                "a17/id10318/YYsxcZ5saac-00002-006.flac,id10318,a17\n"
            ),
        },
        [
            "flac/train/a00/id10001/x-1.flac",
            "flac/development/a01/id10002/y-1.flac",
            "flac/evaluation/a00/id10318/YYsxcZ5saac-00002-006.flac",
            "flac/evaluation/a17/id10318/YYsxcZ5saac-00002-006.flac",
        ],
        {
            (f"{a}_id10318_YYsxcZ5saac-00002-006", "eval_spoofceleb", label, "id10318", attack)
            for a, label, attack in (("a00", "bonafide", "-"), ("a17", "spoof", "a17"))
        },
        (",a17", ",b17"),
    ),
    "mlaad": Layout(
        {
            "MLAAD/fake/de/vits/meta.csv": MLAAD
            + 'fake/de/vits/1.wav|de_DE/by_book/1.wav|de|True|1.0|ds|vits|a|"an open quote\n'
            + './fake/de/vits/2.wav|de_DE/by_book/2.wav|de|True|1.0|ds|vits|a|and "more\n',
        },
        [
            "MLAAD/fake/de/vits/1.wav",
            "MLAAD/fake/de/vits/2.wav",
            "M-AILABS/de_DE/by_book/female/eva_k/book/wavs/b_01.wav",
            "M-AILABS/de_DE/by_book/female/eva_k/book/wavs/._b_01.wav",
        ],
        {
            ("de_vits_1", "eval_mlaad", "spoof", "-", "vits"),
            ("de_vits_2", "eval_mlaad", "spoof", "-", "vits"),
            ("de_DE_by_book_female_eva_k_book_wavs_b_01", "eval_mlaad", "bonafide", "eva_k", "-"),
        },
    ),
    "wavefake": Layout(
        {},
        [
            "generated_audio/ljspeech_melgan/LJ001-0001_gen.wav",
            "generated_audio/jsut_multi_band_melgan/BASIC5000_0001_gen.wav",
        ],
        {
            ("ljspeech_melgan-LJ001-0001_gen", "eval_wavefake", "spoof", "ljspeech", M)
            for M in ("ljspeech_melgan",)
        }
        | {
            (f"{M}-BASIC5000_0001_gen", "eval_wavefake", "spoof", "jsut", M)
            for M in ("jsut_multi_band_melgan",)
        },
    ),
    "dfadd": Layout(
        {},
        [
            "DATASET_VCTK_BONAFIDE/test/p225_001.wav",
            "DATASET_VCTK_BONAFIDE/train/p226_001.wav",
            "DATASET_GradTTS/test/p225_002.flac",
        ],
        {
            ("VCTK_BONAFIDE-p225_001", "eval_dfadd", "bonafide", "p225", "-"),
            ("GradTTS-p225_002", "eval_dfadd", "spoof", "p225", "GradTTS"),
        },
        ("DATASET_GradTTS", "DATASET_Other"),
    ),
    "codecfake_wu": Layout(
        {},
        ["processed/encodec_24k+p272_103.wav", "processed/dac_16k+p272_103.wav"],
        {
            (f"{codec}+p272_103", "eval_codecfake_wu", "spoof", "p272", codec)
            for codec in ("encodec_24k", "dac_16k")
        },
    ),
    "codecfake_xie": Layout(
        {
            "label/train.txt": "SSB00050001.wav real 0\n",
            "label/dev.txt": "p225_001.wav real 0\n",
            "label/C7.txt": "SSB13650058.wav real 0\nF07_SSB13650058.wav fake 7\n",
        },
        [
            "train/SSB00050001.wav",
            "dev/p225_001.wav",
            "C7/SSB13650058.wav",
            "C7/F07_SSB13650058.wav",
        ],
        {
            ("SSB13650058", "eval_codecfake_xie", "bonafide", "SSB1365", "-"),
            ("F07_SSB13650058", "eval_codecfake_xie", "spoof", "SSB1365", "7"),
        },
        (" fake ", " false "),
    ),
    "fake_or_real": Layout(
        {},
        [
            "for-norm/testing/real/file1.wav_16k.wav_norm.wav_mono.wav_silence.wav",
            "for-norm/testing/fake/file1.wav_16k.wav_norm.wav_mono.wav_silence.wav",
            "for-norm/training/fake/file2.mp3",
        ],
        {
            (f"testing-{a}-file1.wav_16k.wav_norm.wav_mono.wav_silence", "eval_fake_or_real", *b)
            for a, b in (("real", ("bonafide", "-", "-")), ("fake", ("spoof", "-", "unknown")))
        },
        ("/testing/fake/", "/testing/fakes/"),
    ),
    "decro": Layout(
        {
            "ch_train.txt": "unknown 20032100 - baidu spoof\n",
            "ch_eval.txt": "G0019 T0055G0019S0420 - aidatatang bonafide\n"
            "unknown 20032123 - baidu spoof\n",
            "en_eval.txt": "LA_0001 LA_E_1 - asvspoof2019 bonafide\nunknown e2 - hifigan spoof\n",
        },
        [
            "ch_train/20032100.wav",
            "ch_eval/T0055G0019S0420.wav",
            "ch_eval/20032123.wav",
            "en_eval/LA_E_1.wav",
            "en_eval/e2.wav",
        ],
        {
            ("T0055G0019S0420", "eval_decro_ch", "bonafide", "G0019", "-"),
            ("20032123", "eval_decro_ch", "spoof", "unknown", "baidu"),
            ("LA_E_1", "eval_decro_en", "bonafide", "LA_0001", "-"),
            ("e2", "eval_decro_en", "spoof", "unknown", "hifigan"),
        },
        ("hifigan spoof", "hifigan T"),
    ),
    "cfad": Layout(
        {},
        [
            "clean_version/train_clean/real_clean/aishell1/BAC009S0002_1.wav",
            "clean_version/test_seen_clean/real_clean/aishell1/SSB0005_1.wav",
            "codec_version/test_seen_codec/fake_codec/hifigan/SSB0005_1.wav",
            "noisy_version/test_unseen_noise/fake_noise/vits/SSB0009_2.wav",
            "noisy_version/test_unseen_noise/real_noise/aishell1/SSB0009_1.wav",
        ],
        {
            (
                "noisy_version_test_unseen_noise_real_noise_aishell1_SSB0009_1",
                "eval_cfad_unseen",
                "bonafide",
                "SSB0009",
                "-",
            ),
            (
                "clean_version_test_seen_clean_real_clean_aishell1_SSB0005_1",
                "eval_cfad_seen",
                "bonafide",
                "SSB0005",
                "-",
            ),
            (
                "codec_version_test_seen_codec_fake_codec_hifigan_SSB0005_1",
                "eval_cfad_seen",
                "spoof",
                "SSB0005",
                "hifigan",
            ),
            (
                "noisy_version_test_unseen_noise_fake_noise_vits_SSB0009_2",
                "eval_cfad_unseen",
                "spoof",
                "SSB0009",
                "vits",
            ),
        },
    ),
    "cvoicefake": Layout(
        {},
        [
            "CVoiceFake_Large/EN/Bonafide/common_voice_en_1.mp3",
            "CVoiceFake_Large/EN/hifigan_generated/common_voice_en_1.mp3",
        ],
        {
            ("EN_Bonafide_common_voice_en_1", "eval_cvoicefake", "bonafide", "-", "-"),
            (
                "EN_hifigan_generated_common_voice_en_1",
                "eval_cvoicefake",
                "spoof",
                "-",
                "hifigan_generated",
            ),
        },
        ("hifigan_generated", "hifigan"),
    ),
    "librisevoc": Layout(
        {"train.txt": f"{BASES[0]}\n", "dev.txt": "", "test.txt": f"{BASES[1]}\n"}
        | {"dev.txt": "26_495_000004_000000\n"},
        [
            path
            for base in (*BASES, "26_495_000004_000000")
            for path in [f"gt/{base}.wav", *(f"{v}/{base}_gen.wav" for v in VOCODERS)]
        ],
        {(f"gt_{BASES[1]}", "eval_librisevoc", "bonafide", "78", "-")}
        | {(f"{v}_{BASES[1]}_gen", "eval_librisevoc", "spoof", "78", v) for v in VOCODERS},
    ),
    "asvspoof_ld": Layout(
        {
            f"{LD}_Noise_Addition.txt": "LA_0039 LA_E_1_babble_10 A11 spoof Noise_Addition "
            "babble_10\n",
            f"{LD}_Recompression.txt": "LA_0014 LA_E_2_mp3_64 - bonafide Recompression mp3_64\n",
        },
        [
            "Noise_Addition/flac/LA_E_1_babble_10.flac",
            "Recompression/flac/LA_E_2_mp3_64.flac",
        ],
        {
            ("LA_E_1_babble_10", "eval_asvspoof_ld", "spoof", "LA_0039", "A11"),
            ("LA_E_2_mp3_64", "eval_asvspoof_ld", "bonafide", "LA_0014", "-"),
        },
        (" spoof ", " fake "),
    ),
    "deepfake_eval_2024": Layout(
        {
            "audio-metadata-publish.csv": "Filename,Ground Truth,Finetuning Set,Notes\n"
            'a.mp3,Real,Train,"one, two"\nb.mp4,Fake,Test,\nc.dat,Real,Test,\nd.wav,Unknown,Test,\n'
        },
        ["audio-data/a.mp3", "audio-data/b.mp4", "audio-data/c.dat", "audio-data/d.wav"],
        {
            ("a", "eval_deepfake_eval_2024", "bonafide", "-", "-"),
            ("b", "eval_deepfake_eval_2024", "spoof", "-", "unknown"),
            ("c", "eval_deepfake_eval_2024", "bonafide", "-", "-"),
        },
        (",Fake,", ",fake,"),
        samples=17_000,
    ),
    "add_2023": Layout(
        {
            "label.txt": "ADD2023_T1.2R2_E_00000003.wav genuine\n"
            "ADD2023_T1.2R2_E_00000004.wav fake\n"
        },
        [f"wav/ADD2023_T1.2R2_E_0000000{i}.wav" for i in (3, 4)],
        {
            ("ADD2023_T1.2R2_E_00000003", "eval_add_2023", "bonafide", "-", "-"),
            ("ADD2023_T1.2R2_E_00000004", "eval_add_2023", "spoof", "-", "unknown"),
        },
        (" fake", " spoof"),
    ),
    "famous_figures": Layout(
        {
            "protocol.txt": "ID\tSpeaker\tSource\tLabel\tAudioPath\n"
            "1\tJane Doe\t-\tbonafide\tJane Doe/Bonafide/a 1.wav\n"
            "2\tJane Doe\tTTS1\tspoof\tJane Doe/TTS1/a 1.wav\n"
        },
        ["Jane Doe/Bonafide/a 1.wav", "Jane Doe/TTS1/a 1.wav"],
        {
            ("Jane_Doe_Bonafide_a_1", "eval_famous_figures", "bonafide", "Jane Doe", "-"),
            ("Jane_Doe_TTS1_a_1", "eval_famous_figures", "spoof", "Jane Doe", "TTS1"),
        },
        ("\tspoof\t", "\tsynthetic\t"),
    ),
}
"""By the name of the entry."""


def _partial(name: str, *trials: tuple[str, str, str, str]) -> set[tuple[str, str, str, str, str]]:
    return {(u, f"eval_{name}", *rest) for u, *rest in trials}


PARTLY = {
    "partialspoof": Partly(
        "dev",
        "database/protocols/PartialSpoof_LA_cm_protocols/PartialSpoof.LA.cm.dev.trl.txt",
        {
            "database/protocols/PartialSpoof_LA_cm_protocols/PartialSpoof.LA.cm.dev.trl.txt": (
                "LA_0079 CON_D_0000029 - CON spoof\nLA_0098 LA_D_9497115 - - bonafide\n"
            ),
            "database/vad/dev/CON_D_0000029.vad": (
                "0.0 0.25 1\n0.25 0.5 0\n0.5 0.6 2\n0.6 0.75 0\n0.75 1.0 1\n"
            ),
            "database/vad/dev/LA_D_9497115.vad": "0.0 0.1 2\n0.1 1.0 1\n",
        },
        [f"database/dev/con_wav/{u}.wav" for u in ("CON_D_0000029", "LA_D_9497115")],
        _partial(
            "partialspoof",
            ("CON_D_0000029", "spoof", "LA_0079", "CON"),
            ("LA_D_9497115", "bonafide", "LA_0098", "-"),
        ),
        {"CON_D_0000029": [4000, 8000, 9600, 12000], "LA_D_9497115": []},
        ("database/vad/dev/LA_D_9497115.vad", "0.1 1.0 1", "0.1 1.0 7"),
    ),
    "llamapartialspoof": Partly(
        "a",
        "label_R01TTS.0.a.txt",
        {
            "label_R01TTS.0.a.txt": (
                "dev01-cosyvoice-partial-cp_1 1.0000 spoof 0.0000-0.2500-bonafide "
                "0.2500-0.5000-spoof 0.5000-1.0000-bonafide\n"
                "dev-clean_84_1 1.0000 bonafide 0.0000-1.0000-bonafide\n"
                "dev01-xtts-full-84_2 0.9999 spoof 0.0000-0.9999-spoof\n"
            ),
        },
        [
            "R01TTS.0.a/1/dev01-cosyvoice-partial-cp_1.wav",
            "R01TTS.0.a/2/dev-clean_84_1.wav",
            "R01TTS.0.a/dev01-xtts-full-84_2.wav",
        ],
        _partial(
            "llamapartialspoof",
            ("dev01-cosyvoice-partial-cp_1", "spoof", "-", "cosyvoice-partial"),
            ("dev-clean_84_1", "bonafide", "-", "-"),
            ("dev01-xtts-full-84_2", "spoof", "-", "xtts-full"),
        ),
        {
            "dev01-cosyvoice-partial-cp_1": [4000, 8000],
            "dev-clean_84_1": [],
            # Its label ends a sample or two before its audio.
            "dev01-xtts-full-84_2": [0, 16000],
        },
        ("label_R01TTS.0.a.txt", "0.5000-spoof", "0.5000-fake"),
    ),
    "had": Partly(
        "test",
        "HAD/HAD_test/HAD_test_label.txt",
        {
            "HAD/HAD_test/HAD_test_label.txt": (
                "HAD_test_00000003 0.00-0.25-T/0.25-0.50-F/0.50-1.00-T 0\n"
                "HAD_test_00000004 0.00-1.00-T 1\n"
            ),
        },
        [f"HAD/HAD_test/test/HAD_test_0000000{i}.wav" for i in (3, 4)],
        _partial(
            "had",
            ("HAD_test_00000003", "spoof", "-", "unknown"),
            ("HAD_test_00000004", "bonafide", "-", "-"),
        ),
        {"HAD_test_00000003": [4000, 8000], "HAD_test_00000004": []},
        ("HAD/HAD_test/HAD_test_label.txt", "-F", "-X"),
    ),
    "partialedit": Partly(
        "E1",
        "PartialEdit_E1E2.csv",
        {
            "PartialEdit_E1E2.csv": (
                "E1/p225/x.wav,0.25,0.5,0.75,0.8,1.0\nE2/p225/x.wav,0.1,0.2,1.0\n"
            )
        },
        ["E1/p225/x.wav", "E2/p225/x.wav"],
        _partial("partialedit", ("E1/p225/x", "spoof", "p225", "E1")),
        {"E1/p225/x": [4000, 8000, 12000, 12800]},
        None,
    ),
}
"""By kind."""
