"""Recipes: what is wrong with one is given all at once, and those that ship are sound."""

import pytest

from unfold.synthesis import RecipeError, parse_recipe, read_recipe, recipe_text, recipes

GOOD = {
    "steps": [{"degradation": "camera-shake", "saves": "blur"}],
    "files": {"blur/{sequence}/{frame}.png": "blur"},
    "input": "blur",
}


def test_every_fault_is_told_with_its_place():
    with pytest.raises(RecipeError) as caught:
        parse_recipe(
            {
                **GOOD,
                "bits": 12,
                "sise": [1, 1],
                "steps": [
                    {"degradation": "camera-shak"},
                    {"degradation": {"kind": "camera-shake", "extent": "far"}},
                    {"degradation": {"kind": "camera-shake", "extent": [20, 3]}},
                    {"degradation": {"kind": "gaussian-noise", "sigma": [0, float("nan")]}},
                    {"degradation": "zero-dce-darkening"},
                ],
            }
        )
    message = str(caught.value)
    for place in ("bits: ", "sise: ", "steps.0.degradation: ", "steps.1.degradation.extent: "):
        assert place in message
    assert "did you mean camera-shake" in message
    for place, error in (
        ("2.degradation.extent: ", "(20.0, 3.0) must not be above"),
        ("3.degradation.sigma.1: ", "less than or equal to 10"),
        ("4.degradation: ", "weights"),
    ):
        assert f"steps.{place}" in message
        assert error in message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input": "blurr"}, "input: no picture 'blurr' has been made by then; there are blur, sh"),
        ({"target": "dark"}, "target: no picture 'dark'"),
        ({"files": {"a/{sequence}/{frame}.png": "dark"}}, "no picture 'dark'"),
        ({"files": {"a/{frame}.png": "blur"}}, "must hold {sequence} and {frame}"),
        ({"files": {"../{sequence}{frame}.png": "blur"}}, "inside the output folder"),
        ({"files": {"/a/{sequence}{frame}.png": "blur"}}, "inside the output folder"),
        ({"files": {"{sequence}{frame}.jpg": "blur"}}, "must end in .png"),
        ({"files": {"{sequence}{frame}{day}.png": "blur"}}, "day can not be filled in"),
        ({"files": {"{sequence}{frame.png": "blur"}}, "expected '}'"),
        ({"steps": [{"degradation": "clip", "of": "blur"}, *GOOD["steps"]]}, r"steps.0.of: no pi"),
        ({"steps": GOOD["steps"] * 2}, "steps.1.saves: there is a picture 'blur' already"),
        ({"files": {"{sequence:05d}/{frame}.png": "blur"}}, "fields stand alone"),
        ({"files": {"{sequence}/{frame!r}.png": "blur"}}, "fields stand alone"),
        ({"files": {"manifest.jsonl/{sequence}{frame}.png": "blur"}}, "the data set's own"),
        (
            {"files": {"a/./{sequence}{frame}.png": "blur", "a/{sequence}{frame}.png": "sharp"}},
            "is named twice",
        ),
        ({"steps": [{"degradation": "frame-average", "saves": "blur"}]}, "set frames above 1"),
        ({"size": [0, 5]}, "at least 1"),
        ({"steps": [{**GOOD["steps"][0], "probability": 1.1}]}, "steps.0.probability: "),
        ({"steps": [{**GOOD["steps"][0], "probability": -0.1}]}, "steps.0.probability: "),
        ({"steps": [{**GOOD["steps"][0], "probability": float("nan")}]}, "steps.0.probability: "),
        ({"frames": 0}, "frames"),
    ],
)
def test_recipes_that_do_not_hold_together(change, message):
    with pytest.raises(RecipeError) as caught:
        parse_recipe(GOOD | change)
    assert message in str(caught.value)


def test_a_class_is_no_name():
    from unfold.degradation.camera_shake import CameraShake

    with pytest.raises(RecipeError, match="must name its degradations"):
        parse_recipe(GOOD | {"steps": [{"degradation": CameraShake, "saves": "blur"}]})


@pytest.mark.parametrize("name", recipes())
def test_recipes_that_ship_round_trip(name, tmp_path):
    recipe = read_recipe(name)
    assert recipe.about
    assert parse_recipe(recipe.model_dump(mode="json")) == recipe
    copy = tmp_path / "mine.toml"
    copy.write_text(recipe_text(name), "utf-8")
    assert read_recipe(copy) == recipe


def test_a_probability_of_one_is_not_written_down():
    """The manifest of a run that was begun before there were probabilities is still its own."""
    (step,) = parse_recipe(GOOD).model_dump(mode="json")["steps"]
    assert set(step) == {"degradation", "of", "saves"}
    recipe = parse_recipe(GOOD | {"steps": [{**GOOD["steps"][0], "probability": 0.25}]})
    assert recipe.model_dump(mode="json")["steps"][0]["probability"] == 0.25
    assert parse_recipe(recipe.model_dump(mode="json")) == recipe


def test_files_that_are_no_recipe(tmp_path):
    with pytest.raises(RecipeError, match="did you mean lol-blur"):
        read_recipe("lol-blurr")
    with pytest.raises(RecipeError, match=r"gone\.toml: cannot be read .*No such file"):
        read_recipe(tmp_path / "gone.toml")
    (tmp_path / "broken.toml").write_text("steps = [")
    with pytest.raises(RecipeError, match=r"broken\.toml: cannot be read"):
        read_recipe(tmp_path / "broken.toml")
    (tmp_path / "empty.toml").write_text("")
    with pytest.raises(RecipeError, match=r"empty\.toml: steps: .*files: .*input: "):
        read_recipe(tmp_path / "empty.toml")
