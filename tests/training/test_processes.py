"""Finding devices: what is absent is refused in one sentence, and launchers get what they were told."""

import pytest
import torch

from vec2face.errors import ConfigError, InputError
from vec2face.training.processes import Processes, find_processes, mean_over_processes

VARIABLES = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "ACCELERATE_USE_CPU"):
        monkeypatch.delenv(name, raising=False)


def test_one_process_takes_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_processes().device == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert find_processes().device == torch.device("cuda")
    assert find_processes("cuda:1").device == torch.device("cuda:1")
    assert find_processes("cpu").device == torch.device("cpu")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    assert find_processes().device == torch.device("cpu")
    with pytest.raises(InputError, match="GPU number 2 was asked for, but this machine has 2"):
        find_processes("cuda:2")


def test_an_absent_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="no CUDA GPU"):
        find_processes("cuda")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(InputError, match="no Apple GPU"):
        find_processes("mps")
    for name in ("gpu", "meta"):
        with pytest.raises(InputError, match=f"no device is called '{name}'"):
            find_processes(name)


def test_a_launched_process_is_refused_what_it_cannot_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "3")
    with pytest.raises(InputError, match="a launcher gives each process its device"):
        find_processes("cuda:1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match="GPU number 3 was asked for, but this machine has 2"):
        find_processes()
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ConfigError, match="FSDP"):
        find_processes()


def test_a_process_that_measures_alone_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    exchanged = []
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor: exchanged.append(tensor.add_(6.0)))
    processes = Processes(device=torch.device("cpu"), count=2)
    with processes.alone():
        assert mean_over_processes(torch.tensor(2.0)) == 2
    assert not exchanged
    assert mean_over_processes(torch.tensor(2.0)) == 4


def test_alone_a_mean_over_processes_is_the_value_without_its_gradient() -> None:
    value = torch.tensor(2.0, requires_grad=True)
    mean = mean_over_processes(value)
    assert mean == 2
    assert not mean.requires_grad
