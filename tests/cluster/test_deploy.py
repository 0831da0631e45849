"""The launch files: each carries Ray's settings as the project has them, asks for a token and binds privately."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from cluster.ray_settings import SETTINGS
from tests.cluster.processes import until

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "cluster" / "deploy"
NODE = DEPLOY / "on_premise" / "node.sh"
SCRIPTS = (DEPLOY / "laptop.sh", NODE, DEPLOY / "slurm.sbatch")
KUBERAY = ("raycluster.yaml", "rayjob.yaml")
VERSION = re.compile(r"^ray==(.+)$", re.MULTILINE)
TOKEN = "0" * 64

# A command that writes down what it was asked and in what environment, and stays until it is ended where that is said.
FAKE = """#!/usr/bin/env bash
said=$(printf '%s ' "${0##*/}" "$@"; echo; env | grep ^RAY_ | sed 's/^/  /')
printf '%s\\n' "$said" >> "$TOLD" # at once: others write there too
"""


def ray_version() -> str:
    found = VERSION.search((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    assert found
    return found[1]


def fakes(folder: Path, **bodies: str) -> dict[str, str]:
    """An environment in which the named commands only write down that they were called, and then do what is given."""
    bin_ = folder / "bin"
    bin_.mkdir()
    for name, body in bodies.items():
        command = bin_ / name
        command.write_text(FAKE + body + "\n", encoding="utf-8")
        command.chmod(0o755)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "SLURM_"))}
    path = os.pathsep.join([str(bin_), str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**clean, "PATH": path, "TOLD": str(folder / "told"), "HOME": str(folder), "PYTHONPATH": str(ROOT)}


def told(folder: Path) -> list[str]:
    """The calls, each with its settings on the lines below it."""
    file = folder / "told"
    return re.split(r"\n(?! )", file.read_text().rstrip()) if file.exists() else []


def settings_in(call: str) -> dict[str, str]:
    lines = [line.strip().partition("=") for line in call.splitlines()[1:]]
    return {name: value for name, _, value in lines if "TOKEN" not in name}


def exported(script: Path) -> dict[str, str]:
    """What a script exports with a literal value."""
    found = re.findall(r"^export (RAY_\w+)=([^$\n]*)$", script.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(found)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_scripts_carry_the_settings_and_parse(script: Path) -> None:
    assert exported(script) == SETTINGS
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_they_are_part_of_the_package() -> None:
    declared = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'cluster = ["deploy/**/*"]' in declared


def test_laptop_makes_a_token_that_only_its_owner_reads(tmp_path: Path) -> None:
    environment = fakes(tmp_path, ray="exit 7")
    for _ in range(2):
        done = subprocess.run(["bash", str(DEPLOY / "laptop.sh"), "--num-cpus=1"], env=environment, check=False)
        assert done.returncode == 7
    token = tmp_path / ".ray" / "auth_token"
    assert re.fullmatch(r"[0-9a-f]{64}", token.read_text())
    assert token.stat().st_mode & 0o777 == 0o600
    first, second = told(tmp_path)
    assert first == second
    assert first.startswith("ray start --head --block --node-ip-address=127.0.0.1 ")
    assert "--dashboard-host=127.0.0.1" in first
    assert "--num-cpus=1" in first
    assert settings_in(first) == SETTINGS


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "'' is no role: head or worker."),
        (["both"], "'both' is no role"),
        (["head"], "no address was given"),
        (["worker", "10.0.0.2"], "two addresses are needed"),
        (["head", "10.0.0.1"], "there is no token at"),
    ],
)
def test_a_node_that_cannot_be_started_says_so(tmp_path: Path, arguments: list[str], part: str) -> None:
    environment = fakes(tmp_path, ray="exit 0")
    done = subprocess.run(
        ["bash", str(NODE), *arguments], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert part in done.stderr
    assert done.stderr.count("\n") == 1
    assert told(tmp_path) == []


def test_a_node_that_ends_is_started_again_and_ended_with_its_keeper(tmp_path: Path) -> None:
    environment = {**fakes(tmp_path, ray='[ -e "$HOME/stay" ] && exec sleep 300; exit 1'), "RAY_AUTH_TOKEN": TOKEN}
    command = ["bash", str(NODE), "worker", "auto", "127.0.0.1:6379", "--num-cpus=1"]
    keeper = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert until(lambda: len(told(tmp_path)) >= 2, 90)
        (tmp_path / "stay").touch()
        first, second, *_ = told(tmp_path)
        assert first == second
        assert first.startswith("ray start --block --node-ip-address=127.0.0.1 --address=127.0.0.1:6379 --num-cpus=1")
        assert settings_in(first) == SETTINGS
        again = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        assert again.returncode == 2
        assert "is looked after already" in again.stderr
        calls = len(told(tmp_path))
        assert until(lambda: len(told(tmp_path)) > calls, 90)
    finally:
        keeper.terminate()
        assert keeper.wait(60) == 143


ALL_ENDED = """
exec python3 -c '
import subprocess, time
subprocess.run(["bash", "-c", "exec -a raylet/raylet sleep 2"])
time.sleep(300)'
"""


def test_a_node_whose_processes_have_all_ended_in_good_order_is_started_again(tmp_path: Path) -> None:
    """`ray start` waits on without them."""
    environment = {**fakes(tmp_path, ray=ALL_ENDED), "RAY_AUTH_TOKEN": TOKEN}
    command = ["bash", str(NODE), "worker", "auto", "127.0.0.1:6379"]
    keeper = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        assert until(lambda: len(told(tmp_path)) >= 2, 90)
    finally:
        keeper.terminate()
        assert keeper.wait(60) == 143


def test_slurm(tmp_path: Path) -> None:
    """A dry run: the commands that it would start on the nodes, in which environment, and what is left behind."""
    run = """
while [ "${1#--}" != "$1" ]; do shift; done
case "$*" in
  *gethostbyname*) echo 10.1.1.1 ;;
  *node.sh*) exec sleep 300 ;;
  *health-check*) exit 0 ;;
  paredown*) stat -c %a "$RAY_AUTH_TOKEN_PATH" > "$HOME/mode"; exit 1 ;;
esac"""
    environment = fakes(tmp_path, srun=run, scontrol="printf 'n1\\nn2\\nn3\\n'")
    environment |= {"SLURM_JOB_ID": "4321", "SLURM_JOB_NODELIST": "n[1-3]"}
    script = str(DEPLOY / "slurm.sbatch")
    done = subprocess.run(["bash", script, "demo", "--store", "s"], env=environment, check=False, timeout=120)
    assert done.returncode == 1, "the exit code of `paredown run` is the job's"
    calls = told(tmp_path)
    assert all(settings_in(call) == SETTINGS for call in calls)
    words = [call.splitlines()[0].strip() for call in calls]
    assert words[0] == "scontrol show hostnames n[1-3]"
    node = str(NODE)
    # A host's own name often means itself alone on itself.
    assert any(w.startswith("srun --nodes=1 --ntasks=1 --nodelist=n3 python3 -c") and w.endswith(" n1") for w in words)
    head = f"srun --overlap --nodes=1 --ntasks=1 --nodelist=n1 bash {node} head 10.1.1.1 --port=24321"
    workers = f"srun --overlap --nodes=2 --ntasks=2 --exclude=n1 bash {node} worker auto 10.1.1.1:24321"
    sweep = "srun --overlap --nodes=1 --ntasks=1 --nodelist=n1 paredown run demo --store s --address 10.1.1.1:24321"
    assert {head, workers, sweep} <= set(words)
    assert (tmp_path / "mode").read_text() == "600\n"
    assert list((tmp_path / ".paredown").iterdir()) == [], "the token goes with the job"
    refused = subprocess.run(["bash", script], env=environment, capture_output=True, text=True, check=False)
    assert (refused.returncode, "no sweep was named" in refused.stderr) == (2, True)


def test_the_cluster_launcher_takes_the_file() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    path = DEPLOY / "on_premise" / "cluster.yaml"
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    validate_config(prepare_config(config))
    with pytest.raises(jsonschema.ValidationError):
        validate_config({**prepare_config(config), "worker_ip": "10.0.0.9"})
    assert config["file_mounts"] == {"~/paredown": ".", "~/.ray/auth_token": "~/.ray/auth_token"}
    assert any("-c ~/paredown/constraints.txt" in command for command in config["setup_commands"])
    (head,) = [c for c in config["head_start_ray_commands"] if "node.sh" in c]
    (worker,) = [c for c in config["worker_start_ray_commands"] if "node.sh" in c]
    assert f"head {config['provider']['head_ip']} --autoscaling-config=" in head
    assert 'worker auto "$RAY_HEAD_IP:6379"' in worker
    assert NODE.relative_to(ROOT).as_posix() in head


@pytest.mark.parametrize("name", KUBERAY)
def test_kuberay(name: str) -> None:
    documents = list(yaml.safe_load_all((DEPLOY / "kuberay" / name).read_text(encoding="utf-8")))
    claim, ours, policy = documents
    schema = json.loads((Path(__file__).parent / "kuberay.schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    assert [error.message for error in validator.iter_errors(ours)] == []
    mistyped = json.loads(json.dumps(ours).replace("rayStartParams", "rayStartParam"))
    assert list(validator.iter_errors(mistyped))
    spec = ours["spec"] if ours["kind"] == "RayCluster" else ours["spec"]["rayClusterSpec"]
    assert spec["rayVersion"] == ray_version()
    assert spec["authOptions"] == {"mode": "token"}
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    for group in groups:
        assert_private(group, policy, claim)
    binds = spec["headGroupSpec"]["rayStartParams"]["dashboard-host"]
    assert binds == ("127.0.0.1" if ours["kind"] == "RayCluster" else "0.0.0.0")
    assert "kubectl apply" in (DEPLOY / "kuberay" / name).read_text(encoding="utf-8")


def assert_private(group: dict[str, Any], policy: dict[str, Any], claim: dict[str, Any]) -> None:
    """The settings, the pod's own address, the policy that closes its ports, the results folder."""
    (container,) = group["template"]["spec"]["containers"]
    environment = {v["name"]: v.get("value") for v in container["env"]}
    assert {k: v for k, v in environment.items() if k.startswith("RAY_")} == SETTINGS
    assert group["rayStartParams"]["node-ip-address"] == "$POD_IP"
    labels = group["template"]["metadata"]["labels"]
    assert policy["kind"] == "NetworkPolicy"
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    volumes = [v["persistentVolumeClaim"]["claimName"] for v in group["template"]["spec"]["volumes"]]
    assert volumes == [claim["metadata"]["name"]]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_the_image_has_our_versions() -> None:
    text = (DEPLOY / "kuberay" / "Dockerfile").read_text(encoding="utf-8")
    assert f"FROM rayproject/ray:{ray_version()}-py311\n" in text
    assert "-c /opt/paredown/constraints.txt" in text
