"""A small random model, a server of it that most tests share, and clients."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest
import tinker
from tinkery_local.engine.spec import ModelSpec
from tinkery_local.engine.weights import init_weights, save_folder
from tinkery_local.testing import RunningServer, running_server
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

EOS = 256
SPEC = ModelSpec(
    model_type="llama",
    vocab_size=264,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    max_position_embeddings=256,
    tie_word_embeddings=True,
    eos_token_ids=(EOS,),
)


@pytest.fixture(scope="session", autouse=True)
def quiet_client() -> None:
    """No telemetry, no look at a hub, no proxy between the tests and their server."""
    os.environ.update(TINKER_TELEMETRY="0", HF_HUB_OFFLINE="1", NO_PROXY="127.0.0.1,localhost")


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with random weights whose token ids 0 to 255 are bytes."""
    folder = tmp_path_factory.mktemp("models") / "random"
    save_folder(folder, SPEC, init_weights(SPEC, seed=0))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(
        models.BPE(vocab={letter: index for index, letter in enumerate(alphabet)}, merges=[])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the shared server keeps checkpoints."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="session")
def server(random_model: Path, store: Path) -> Generator[RunningServer]:
    """A server that all tests share which don't stop it."""
    with running_server("--model", str(random_model), "--store", str(store)) as running:
        yield running


@pytest.fixture(scope="session")
def base_model(server: RunningServer) -> str:
    """The name of the shared server's only model."""
    return server.models[0]


@pytest.fixture
def service(server: RunningServer) -> Generator[tinker.ServiceClient]:
    """A client process's view of the shared server, in a session of its own."""
    client = tinker.ServiceClient(base_url=server.url, api_key="tml-local")
    yield client
    client.close("success").result()
