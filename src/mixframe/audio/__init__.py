"""Audio: utterances in and out, the manifest that lists them, frames, distortion, splicing."""
