"""A whole detector as a model of transformers, loaded with `trust_remote_code`."""

from pathlib import Path

from mixframe.base.errors import MixframeError
from mixframe.base.files import read_object, write_json
from mixframe.bundle.contents import ENCODER
from mixframe.bundle.detector import Detector
from mixframe.bundle.folders import new_folder
from mixframe.bundle.modeling_mixframe import MixframeConfig, MixframeForAudioClassification
from mixframe.models.detector import Detector as Network
from mixframe.models.heads.pooled import PooledHead
from mixframe.training.systems.neural import Neural

PREPROCESSOR = "preprocessor_config.json"


def write_classifier(bundle: Path, folder: Path) -> None:
    """Write the detector of a bundle as a folder that transformers loads.

    `AutoModelForAudioClassification.from_pretrained(folder, trust_remote_code=True)` has the logits
    of the detector. LoRA adapters are added to the weights of the encoder, so that nothing but
    torch and transformers is needed; the one file of code is `modeling_mixframe.py`.

    Raises:
        MixframeError: the folder is there already, the bundle is not whole, or its system is not an
            encoder under a pooled head.
    """
    with new_folder(folder) as temporary:
        detector = Detector.load(bundle, device="cpu")
        network, system = detector.network, detector.contents.system
        head = system.head if isinstance(system, Neural) else None
        if not isinstance(network, Network) or not isinstance(head, PooledHead):
            raise MixframeError(
                f"{bundle}: {detector.contents.name} is no encoder under a pooled head, the only "
                "kind that becomes a model of transformers"
            )
        if network.peft is not None:
            network.peft.merge_and_unload()
        config = MixframeConfig(
            encoder=network.backbone.model.config.to_dict(),
            weighted=head.layers == "weighted",
            attention=head.hidden if head.pooling == "attentive" else None,
            longest=detector.max_samples,
            tile=detector.tiles,
            scale=network.backbone.normalise,
        )
        model = MixframeForAudioClassification(config)
        model.encoder.load_state_dict(network.backbone.model.state_dict())
        model.head.load_state_dict(network.head.state_dict())
        MixframeConfig.register_for_auto_class()
        MixframeForAudioClassification.register_for_auto_class("AutoModelForAudioClassification")
        model.save_pretrained(temporary)
        # The model scales what it hears itself, after it has cropped it.
        given = read_object(bundle / ENCODER / PREPROCESSOR)
        extractor = {**given, "do_normalize": False, "return_attention_mask": True}
        write_json(temporary / PREPROCESSOR, extractor)
