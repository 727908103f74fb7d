import json

import pytest
import torch

import unfold
from unfold.cli import main
from unfold.core import History
from unfold.models.cascade import Cascade, cascade, config_of
from unfold.models.identity import IdentityModel
from unfold.models.presets import jude_classic
from unfold.registry import ComponentError
from unfold.registry.spec import resolve

PHOTO = 0.1 + 0.2 * torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(0))


def test_each_model_restores_what_the_one_before_it_made():
    first, second = jude_classic(K=2), jude_classic(K=3, exposure=None, enhancer=None)
    both = Cascade(first, second)
    half_way = first(PHOTO).image
    whole = both(PHOTO)
    assert torch.equal(whole.image, second(half_way).image)
    assert torch.equal(whole.parts["1.image"], half_way)
    assert torch.equal(whole.parts["2.noise"], second(half_way).parts["noise"])
    assert not torch.equal(whole.image, half_way)


def test_the_kernel_is_that_of_the_first():
    kernel = torch.full((1, 1, 3, 3), 1 / 9)
    first, second = jude_classic(K=2), jude_classic(K=2)
    whole = Cascade(first, second)(PHOTO, kernel=kernel)
    assert torch.equal(whole.image, second(first(PHOTO, kernel=kernel).image).image)
    assert torch.equal(whole.parts["1.kernel"], kernel)
    assert whole.parts["2.kernel"].count_nonzero() == 1  # (a photo too small to tell one)


def test_a_history_holds_all_of_them():
    history = History()
    Cascade(jude_classic(K=2), jude_classic(K=3))(PHOTO, history=history)
    assert len(history.penalties) == 5


def test_it_is_learned_if_one_is():
    learned = unfold.create_model("jude-small", K=1)
    assert not Cascade(IdentityModel(), IdentityModel()).requires_training
    assert Cascade(IdentityModel(), learned).requires_training
    count = sum(p.numel() for p in learned.parameters())
    assert sum(p.numel() for p in Cascade(IdentityModel(), learned).parameters()) == count > 0


def test_by_name_and_through_json():
    made = unfold.create_model("jude-classic -> identity->jude-classic")
    assert [type(m).__name__ for m in made.models] == ["JUDE", "IdentityModel", "JUDE"]
    assert made.explain().count("model ") >= 3
    spec = resolve("models", {"kind": "cascade", "models": ["identity", {"kind": "jude-classic",
                                                                         "K": 4}]})  # fmt: skip
    again = resolve("models", json.loads(spec.model_dump_json()))
    assert again == spec
    assert len(again.build().models[1].stages.stages) == 4


def test_configs_may_be_files(tmp_path):
    (tmp_path / "m.toml").write_text('kind = "jude-classic"\nK = 7\n')
    assert config_of(f"{tmp_path}/m.toml -> identity") == {
        "kind": "cascade",
        "models": [{"kind": "jude-classic", "K": 7}, {"kind": "identity"}],
    }


def test_what_is_no_cascade():
    with pytest.raises(ValueError, match="at least one"):
        Cascade()
    for name in ("a ->", "-> a", "a -> -> b"):
        with pytest.raises(ComponentError, match="a model is missing; write it as"):
            config_of(name)
    with pytest.raises(ValueError, match="no model named 'jude-clasic'; did you mean"):
        unfold.create_model("identity -> jude-clasic")
    with pytest.raises(ValueError, match="at least 1 item"):
        resolve("models", {"kind": "cascade", "models": []})


def test_cascade_by_objects_is_that_by_name():
    by_name = unfold.create_model("jude-classic -> identity")
    by_parts = cascade(models=("jude-classic", IdentityModel))
    assert torch.equal(by_name(PHOTO).image, by_parts(PHOTO).image)


def test_options_on_the_command_line_name_the_model(capsys):
    command = ["explain", "jude-classic -> jude-classic"]
    assert main([*command, "--set", "1.K=2", "--set", "2.K=5"]) == 0
    out = capsys.readouterr().out
    assert out.index("stages: 2, tied") < out.index("stages: 5, tied")
    for bad in ("K=2", "3.K=2", "0.K=2"):
        assert main([*command, "--set", bad]) == 2
        assert f"--set {bad}: jude-classic -> jude-classic has 2 models" in capsys.readouterr().err
    assert main([*command, "--set", "2.Q=2"]) == 2
    assert "models.1.Q" in capsys.readouterr().err
