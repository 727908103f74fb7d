"""What is installed, found without importing it; specs read off constructors."""

import json
import subprocess
import sys
import warnings
from typing import Annotated

import pytest
import torch
from distributions import install
from pydantic import Field, ValidationError

import unfold
from unfold.core import Prior
from unfold.registry import ComponentError, find, load, scan
from unfold.registry.spec import Spec, _spec_type, factory, resolve, spec_type


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder on sys.path to which distributions can be added, as pip would write them."""
    monkeypatch.syspath_prepend(str(tmp_path))
    _spec_type.cache_clear()

    def add(project, entry_points, modules=(), version="1.2", folder=tmp_path):
        install(folder, project, entry_points, version, **dict(modules))

    yield add
    _spec_type.cache_clear()
    for name in [m for m in sys.modules if m.startswith("acme")]:
        del sys.modules[name]


ACME = '''"""A stranger's plugin."""
from unfold.core import Prior

class Half(Prior):
    """Halves whatever it is given.

    Not a prior that anybody needs.
    """
    def __init__(self, channels=3, *, factor: float = 0.5):
        super().__init__()
        self.factor = factor
    def prox(self, v, step):
        return self.factor * v
'''


def test_built_ins_are_registered_and_importable():
    assert {"jude", "era", "jude-small", "era-small", "jude-classic"} <= set(unfold.list("models"))
    assert {"convolution", "filter-flow", "retinex", "sparse-error"} <= set(unfold.list("terms"))
    for component in scan().components:
        assert callable(load(component)), component
        assert component.summary, component


def test_a_strangers_prior_is_there_once_installed(site):
    site("Acme_Prior", "[unfold.priors]\nacme-half = acme_prior:Half\n", [("acme_prior", ACME)])
    component = find("priors", "acme-half")
    assert (component.distribution, component.version) == ("acme-prior", "1.2")
    assert component.summary == "Halves whatever it is given."
    assert "acme_prior" not in sys.modules, "listing imports nothing"
    model = unfold.create_model("jude-small", prior={"kind": "acme-half", "factor": 0.9}, K=1)
    assert model.stages.stages[0].lagrangian.priors["Z"].factor == 0.9
    assert model(torch.rand(1, 3, 16, 16)).image.shape == (1, 3, 16, 16)


def test_one_malformed_distribution_is_lost_alone(site):
    site("acme-good", "[unfold.priors]\nacme-half = acme_good:Half\n", [("acme_good", ACME)])
    site("acme-bad", "[unfold.priors\nnonsense")
    site("acme-bytes", b"[unfold.priors]\nx = \xff\xfe:Y\n")
    site("acme-point", "[unfold.priors]\nacme-nowhere = not a target\n")
    names = unfold.list("priors")
    assert "acme-half" in names
    assert "resunet" in names
    assert "acme-nowhere" not in names


def test_a_broken_plugin_says_so_when_named_and_only_then(site):
    site("acme-broken", "[unfold.priors]\nacme-broken = acme_broken:Half\n",
         [("acme_broken", "import no_such_module")])  # fmt: skip
    assert "acme-broken" in unfold.list("priors")
    assert unfold.create_model("jude-small", K=1) is not None
    with pytest.raises(ComponentError, match=r"acme-broken 1\.2.*No module named 'no_such_module'"):
        factory("priors", "acme-broken")


def test_two_claims_to_a_name_are_refused_and_can_be_told_apart(site):
    for project in ("acme-one", "acme-two"):
        module = project.replace("-", "_")
        site(project, f"[unfold.priors]\nhalf = {module}:Half\n", [(module, ACME)])
    with pytest.raises(ComponentError, match="acme-one:half, acme-two:half"):
        find("priors", "half")
    assert find("priors", "acme-two:half").target == "acme_two:Half"
    assert resolve("priors", "acme-two:half").build(3).factor == 0.5


def test_nobody_shadows_a_built_in(site):
    site("acme-shadow", "[unfold.priors]\nresunet = acme_shadow:Half\n", [("acme_shadow", ACME)])
    assert find("priors", "resunet").distribution == "unfold-imaging"
    assert find("priors", "acme-shadow:resunet").distribution == "acme-shadow"


def test_unknown_names_and_groups():
    with pytest.raises(ComponentError, match="no prior named 'resnet'; did you mean resunet"):
        find("priors", "resnet")
    with pytest.raises(ComponentError, match="no model named 'zzz'; installed: .*era, .*jude, "):
        find("models", "zzz")
    with pytest.raises(ComponentError, match="no group named 'zzz'; groups are models, priors"):
        unfold.list("zzz")


def test_without_a_group_the_groups_are_listed():
    assert {"models", "priors", "recipes", "plugins"} < {*unfold.list()}


MODELS, PRIORS = "models", "priors"


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((MODELS, "jude-classic"), {"K": -3}, "jude-classic: K: must be .* equal to 1, got -3$"),
        ((PRIORS, "resunet", 3), {"widthz": 3}, "resunet: widthz: .*; did you mean widths"),
        (
            (PRIORS, "ircnn", 3),
            {"zzz": 3},
            "ircnn: zzz: there is no such option; options are wid",
        ),
        ((MODELS, "jude-classic"), {"noise": -1}, "noise: must be greater than 0, got -1$"),
        ((MODELS, "jude-classic"), {"noise": "nois"}, "noise: no estimator .* did you mean noise"),
        (
            (MODELS, "jude"),
            {"prior": {"kind": "ircnn", "q": 1}},
            "prior.q: there is no .* width",
        ),
        ((MODELS, "jude"), {"K": [0] * 99}, r"must be a valid integer, got \[0, 0, .*\.\.\.$"),
        ((MODELS, 3), {}, "a model must be a name, a config or the path of one, got int"),
        (("models", "jude"), {"noise": {"kind": "noise", "q": 2}}, r"^jude: noise\.q: there is no"),
        (("recipes", "jude"), {}, "recipes are no components, .*`unfold list recipes`"),
        (("commands", "list"), {}, "commands are no components"),
        (("prior", "ircnn"), {}, "no group named 'prior'; did you mean priors"),
        ((PRIORS, "ircnn", 0), {}, "prior 'ircnn' .* channels of at least 1, got 0; give 3"),
        ((PRIORS, "denoiser", -1), {}, "prior 'denoiser' .* channels of at least 1, got -1"),
        ((PRIORS, "ircnn", "three"), {}, "channels of at least 1, got 'three'"),
        ((PRIORS, "ircnn", True), {}, "channels of at least 1, got True"),
    ],
)
def test_what_cannot_be_created_is_explained(arguments, options, message):
    with pytest.raises(unfold.UnfoldError, match=message) as caught:
        unfold.create(*arguments, **options)
    assert isinstance(caught.value, ValueError)
    assert "pydantic" not in str(caught.value)


def test_a_misspelled_group_is_corrected():
    with pytest.raises(ComponentError, match="no group named 'model'; did you mean models"):
        unfold.list("model")


@pytest.mark.parametrize(
    ("create", "message"),
    [
        (lambda: unfold.create_model("zero-dce"), "zero-dce: the model .* pretrained=True"),
        (lambda: unfold.create("models", "zero-dce"), "zero-dce: the model .* pretrained=True"),
        (lambda: unfold.create(PRIORS, "ircnn", width=4), "ircnn: the prior .* random weights"),
        (lambda: unfold.create("estimators", "illumination"), "illumination: the estimator "),
    ],
)
def test_the_warning_of_random_weights_is_that_of_the_caller(create, message):
    with pytest.warns(UserWarning, match=message) as caught:
        create()
    assert [warning.filename for warning in caught] == [__file__]


def test_what_needs_no_training_is_created_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        unfold.create(PRIORS, "denoiser")
        unfold.create(PRIORS, "total-variation")
        unfold.create("metrics", "psnr")


def test_an_option_is_validated_by_its_annotation_and_every_fault_is_told():
    faulty = {"kind": "jude", "K": 0, "num_kernels": "many", "color": True, "prior": "resnet"}
    with pytest.raises(ValidationError) as caught:
        resolve("models", faulty)
    errors = {problem["loc"]: problem["msg"] for problem in caught.value.errors()}
    assert set(errors) == {("K",), ("num_kernels",), ("color",), ("prior",)}
    assert "did you mean resunet" in errors["prior",]


def test_a_spec_holds_the_options_of_a_constructor_and_builds_it():
    spec = spec_type("priors", "resunet")(widths=(8, 16), residual=True)
    assert json.loads(spec.model_dump_json()) == {
        "kind": "resunet", "widths": [8, 16], "blocks": 1, "conditioned": True, "residual": True,
        "unshuffle": 1,
    }  # fmt: skip
    again = resolve("priors", json.loads(spec.model_dump_json()))
    assert again == spec
    assert spec.build(1).net.tail.out_channels == 1
    with pytest.raises(ValidationError):
        spec_type("priors", "resunet")(channels=3)  # supplied by the model, not an option


def test_a_models_spec_round_trips_with_the_prior_in_it():
    spec = spec_type("models", "jude")(prior={"kind": "resunet", "widths": (8, 16)}, K=1)
    text = spec.model_dump_json()
    again = resolve("models", json.loads(text))
    assert again == spec
    assert isinstance(again.prior, Spec)
    assert again.build().stages.stages[0].lagrangian.priors["P"].net.head.out_channels == 8


def test_what_names_no_component_is_refused():
    with pytest.raises(ValueError, match="must be named"):
        resolve("priors", {"widths": (8,)})
    with pytest.raises(ValueError, match="got int"):
        resolve("priors", 3)


def test_options_of_a_function(monkeypatch):
    class Plain(Prior):
        def __init__(self, channels: int = 3, *, rate: Annotated[float, Field(gt=0)]):
            super().__init__()

        def prox(self, v, step):
            return v

    component = find("priors", "identity")
    monkeypatch.setattr("unfold.registry.spec.find", lambda group, name: component)
    monkeypatch.setattr("unfold.registry.spec.load", lambda found: Plain)
    _spec_type.cache_clear()
    made = spec_type("priors", "plain")
    assert made.model_fields["rate"].is_required()
    with pytest.raises(ValidationError):
        made(rate=-1)
    _spec_type.cache_clear()


def test_listing_imports_neither_torch_nor_components():
    code = (
        "import sys; from unfold.cli import main; main(['list']); import unfold;"
        "unfold.list('models');"
        "bad = [m for m in ('torch', 'numpy', 'pydantic', 'unfold.core') if m in sys.modules];"
        "sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "jude-classic" in done.stdout


@pytest.mark.parametrize(("first", "second"), [("1.0", "2.0"), ("2.0", "1.0")])
def test_of_two_versions_on_the_path_the_first_counts(site, tmp_path, monkeypatch, first, second):
    site("acme-prior", "[unfold.priors]\nold = acme_gone:Half\nhalf = acme_gone:Half\n",
         version=second)  # fmt: skip
    (tmp_path / "first").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "first"))
    site("acme_prior", "[unfold.priors]\nhalf = acme_prior:Half\n", [("acme_prior", ACME)],
         version=first, folder=tmp_path / "first")  # fmt: skip
    assert find("priors", "half").version == first
    assert load(find("priors", "half")).__name__ == "Half"
    assert "old" not in unfold.list("priors")


def test_a_version_that_no_longer_registers_anything_hides_one_that_did(
    site, tmp_path, monkeypatch
):
    site("acme-prior", "[unfold.priors]\nold = acme_prior:Half\n", [("acme_prior", ACME)])
    assert "old" in unfold.list("priors")
    (tmp_path / "first").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "first"))
    site("acme_prior", "[console_scripts]\nacme = acme_prior:Half\n", folder=tmp_path / "first")
    assert "old" not in unfold.list("priors")


def test_malformed_metadata_is_told(site):
    site("acme-bad", "[unfold.priors\nnonsense")
    site("acme-point", "[unfold.priors]\nacme-nowhere = not a target\nacme-module = acme\n")
    (damage,) = scan().damaged
    assert damage.distribution == "acme_bad-1.2.dist-info"
    with pytest.raises(ComponentError, match=r"'not a target', which is not module:attribute"):
        find("priors", "acme-nowhere")
    with pytest.raises(ComponentError, match=r"the module 'acme', not to a name in it"):
        find("priors", "acme-module")
    with pytest.raises(
        ComponentError, match=r"acme_bad.* cannot be read; see `unfold plugins check`"
    ):
        find("priors", "acme-none")


def test_metadata_are_read_again_where_they_changed_and_only_there(site, tmp_path, monkeypatch):
    site("acme-prior", "[unfold.priors]\nhalf = acme_prior:Half\n")
    points = tmp_path / "acme_prior-1.2.dist-info" / "entry_points.txt"
    assert "half" in unfold.list("priors")
    points.write_text("[unfold.priors]\nhalves = acme_prior:Half\n")
    assert "halves" in unfold.list("priors")
    found, reads = scan(), []
    with monkeypatch.context() as patch:
        patch.setattr("unfold.registry.catalog._parsed", reads.append)
        assert scan() == found
    assert not reads
    monkeypatch.setenv("UNFOLD_PLUGINS", "acme-other")
    with pytest.raises(ComponentError, match="is not allowed: UNFOLD_PLUGINS=acme-other"):
        find("priors", "halves")


def test_a_missing_plugin_says_what_to_install():
    with pytest.raises(ComponentError, match="it needs acme-prior: pip install acme-prior"):
        find("priors", "acme-prior:half")


def test_a_prior_that_takes_no_channels_is_given_none():
    model = unfold.create_model("jude-small", prior="total-variation", K=1)
    assert type(model.stages.stages[0].lagrangian.priors["Z"]).__name__ == "TotalVariation"


def test_a_component_of_another_kind_is_refused():
    with pytest.raises(ComponentError, match="no prior named 'jude'"):
        unfold.create_model("jude-small", prior="jude")


def test_the_schema_describes_what_the_specs_accept():
    import jsonschema

    from unfold.registry.schema import schema

    found, errors = schema()
    assert errors == []
    jsonschema.Draft202012Validator.check_schema(found)
    validator = jsonschema.Draft202012Validator(found)
    good = {"kind": "jude", "K": 3, "prior": {"kind": "resunet", "widths": [8, 16]}}
    for config, valid in (
        (good, True),
        ("jude", True),
        ({**good, "prior": "ircnn"}, True),
        ({**good, "K": 0}, False),
        ({**good, "prior": "resnet"}, False),
        ({**good, "prior": {"kind": "resunet", "width": 3}}, False),
        ({**good, "color": True}, False),
    ):
        assert validator.is_valid(config) == valid, config
        try:
            resolve("models", config)
            accepted = True
        except ValidationError:
            accepted = False
        assert accepted == valid, config


@pytest.mark.parametrize(
    ("group", "config"),
    [
        ("terms", {"kind": "filter-flow", "kernels": "H", "weights": "W", "observed": "X"}),
        ("degradations", {"kind": "low-light", "lights": 97}),
    ],
)
def test_files_of_older_versions_load(group, config):
    old = {"weights": "maps", "lights": "preserve_highlights"}
    renamed = {old.get(name, name): value for name, value in config.items()}
    assert resolve(group, config) == resolve(group, renamed)
