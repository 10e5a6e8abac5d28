"""`--code`: what is packed, how it gets into the pods, and what is refused."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from curator_api.received import parse_resource
from curator_executor.cli.kube import code_archive
from curator_executor.cli.kube.code_archive import Code, config_map, pack, with_code
from curator_executor.cli.outcome import CommandError
from tests.unit.cli.kube.resources import resource


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`src` with a package, a data file in it, and what nobody wants to take along."""
    src = tmp_path / "src"
    for name in (
        "my_team/__init__.py",
        "my_team/stages.py",
        "my_team/words.txt",
        "my_team/__pycache__/stages.cpython-311.pyc",
        ".git/config",
        ".env",
        "my_team.egg-info/PKG-INFO",
        "venv/pyvenv.cfg",
        "venv/lib/other.py",
        "node_modules/a.js",
    ):
        path = src / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n")
    return src


def names_in(code: Code) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(code.data)) as archive:
        return archive.namelist()


def test_code_and_data_are_packed_and_nothing_hidden_or_made(folder: Path) -> None:
    assert names_in(pack(folder)) == [
        "code/my_team/__init__.py",
        "code/my_team/stages.py",
        "code/my_team/words.txt",
    ]


def test_everything_is_below_one_folder_as_ray_takes_a_lone_one_away(folder: Path) -> None:
    """Without it `my_team`, alone at the top, would be taken away, and could not be imported."""
    assert {name.split("/")[0] for name in names_in(pack(folder))} == {"code"}


def test_the_same_files_make_the_same_bytes_whatever_their_times(folder: Path) -> None:
    before = pack(folder)
    for path in folder.rglob("*"):
        os.utime(path, (1, 1))
    assert pack(folder).data == before.data
    (folder / "my_team" / "words.txt").write_text("another")
    assert pack(folder).digest != before.digest


def test_a_script_stays_executable(folder: Path) -> None:
    script = folder / "my_team" / "stages.py"
    script.chmod(0o700)
    with zipfile.ZipFile(io.BytesIO(pack(folder).data)) as archive:
        modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
    assert modes["code/my_team/stages.py"] == 0o755
    assert modes["code/my_team/words.txt"] == 0o644


def test_too_much_code_is_refused_with_its_size_and_its_largest_files(folder: Path) -> None:
    (folder / "my_team" / "model.bin").write_bytes(os.urandom(3000))
    with pytest.raises(CommandError) as caught:
        pack(folder, most_bytes=2048)
    said = str(caught.value)
    assert "src packed is 3.50 KiB" in said
    assert "a ConfigMap holds at most 2.00 KiB" in said
    assert "Largest files: my_team/model.bin (2.93 KiB)" in said
    assert "spec.runtimeEnv.working_dir" in said


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_what_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandError, match="is no folder"):
        pack(tmp_path / name)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".hidden").write_text("")
    with pytest.raises(CommandError, match="no file to take along"):
        pack(tmp_path)


def test_a_link_to_a_folder_is_refused_rather_than_left_out(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (folder / "lib").symlink_to(tmp_path / "shared")
    with pytest.raises(CommandError, match="lib is a link to a folder"):
        pack(folder)


def test_the_config_map_holds_the_code_and_goes_with_the_pipeline(folder: Path) -> None:
    code = pack(folder)
    made = config_map("clean-web-code-1", code, resource())
    assert made["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "curator.dev/v1alpha1",
            "kind": "CuratorPipeline",
            "name": "clean-web",
            "uid": "4f1c9a20-7e51-4d0b-9a55-0c9a3b1f2d77",
        }
    ]
    assert made["immutable"] is True
    assert made["metadata"]["annotations"] == {"curator.dev/code-sha256": code.digest}
    assert code_archive.code_of(made).data == code.data


def test_all_pods_mount_the_code_and_ray_unpacks_it() -> None:
    before = resource()
    made = with_code(before, "clean-web-code-1")
    assert before == resource()
    cluster = made["spec"]["cluster"]
    assert cluster["volumes"] == [
        {"name": "submitted-code", "configMap": {"name": "clean-web-code-1"}}
    ]
    assert cluster["volumeMounts"] == [
        {"name": "submitted-code", "mountPath": "/opt/submitted-code", "readOnly": True}
    ]
    assert made["spec"]["runtimeEnv"] == {"working_dir": "file:///opt/submitted-code/code.zip"}
    assert parse_resource(made).spec.cluster is not None
    assert code_archive.config_map_of(made) == "clean-web-code-1"


def test_what_the_manifest_mounts_and_wants_of_ray_stays() -> None:
    obj = resource()
    obj["spec"]["runtimeEnv"] = {"pip": ["langdetect==1.0.9"]}
    obj["spec"]["cluster"]["volumes"] = [{"name": "data", "emptyDir": {}}]
    obj["spec"]["cluster"]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    made = with_code(obj, "c")["spec"]
    assert made["runtimeEnv"]["pip"] == ["langdetect==1.0.9"]
    assert [one["name"] for one in made["cluster"]["volumes"]] == ["data", "submitted-code"]


def test_code_that_was_submitted_before_is_replaced() -> None:
    twice = with_code(with_code(resource(), "first"), "second")
    assert code_archive.config_map_of(twice) == "second"
    assert len(twice["spec"]["cluster"]["volumeMounts"]) == 1


def test_an_existing_cluster_is_refused_with_what_to_do() -> None:
    obj = resource()
    obj["spec"]["cluster"] = {"existing": {"name": "shared"}}
    with pytest.raises(CommandError, match=r"nothing can be mounted.*py_modules"):
        with_code(obj, "c")


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"runtimeEnv": {"working_dir": "s3://b/c.zip"}}, r"spec\.runtimeEnv\.working_dir"),
        (
            {"stages": [{"name": "a", "class": "b.C", "runtimeEnv": {"working_dir": "s3://b/c"}}]},
            r"spec\.stages\[0\]\.runtimeEnv\.working_dir",
        ),
    ],
)
def test_a_working_directory_of_its_own_is_refused(change: dict[str, Any], where: str) -> None:
    obj = resource()
    obj["spec"] |= change
    with pytest.raises(CommandError, match=where):
        with_code(obj, "c")


def test_code_that_no_stage_comes_from_is_told(folder: Path) -> None:
    assert code_archive.unused(resource(), pack(folder)) == ""
    said = code_archive.unused(resource(), pack(folder / "my_team"))
    assert said.startswith("no stage comes from --code: it holds __init__, stages, words.txt")
    assert said.endswith("The folder is the one that my_team is imported from")


def test_a_manifest_of_ready_stages_needs_none_of_the_code(folder: Path) -> None:
    obj = resource()
    obj["spec"]["stages"] = [{"name": "a", "class": "curator_executor.stages.JsonlReader"}]
    assert code_archive.unused(obj, pack(folder)) == ""
