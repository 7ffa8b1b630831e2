"""A lock for the broker's door: TLS with a certificate that it signs itself, and one login by SCRAM-SHA-512.

For tests of secured clients and for trying settings out, not for production: certificate and key are made with the
JDK's keytool in the broker's data folder and lie there beside their password.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

import msgspec

LISTENER: Final = "SASL_SSL"
MECHANISM: Final = "SCRAM-SHA-512"
_STORE_PASSWORD: Final = "undertone-local"  # noqa: S105 - the key lies beside it
_DAYS: Final = "30"


class CertificateError(RuntimeError):
    """keytool could not make a certificate; the message holds what it said."""


class Login(msgspec.Struct, frozen=True):
    """Who may connect, clients and broker alike."""

    user: str
    password: str

    def format_arguments(self) -> list[str]:
        """What `StorageTool format` needs to know the login before the broker's first start."""
        return ["--add-scram", f"{MECHANISM}=[name={self.user},password={self.password}]"]

    def client_settings(self, folder: Path) -> dict[str, str]:
        """Settings of librdkafka that open the door of the broker with its data in `folder`."""
        return {
            "security.protocol": LISTENER,
            "sasl.mechanism": MECHANISM,
            "sasl.username": self.user,
            "sasl.password": self.password,
            "ssl.ca.location": str(authority(folder)),
        }

    def broker_settings(self, folder: Path) -> dict[str, str]:
        """Broker settings for a listener that takes this login only, over TLS only."""
        jaas = (
            "org.apache.kafka.common.security.scram.ScramLoginModule required"
            f' username="{self.user}" password="{self.password}";'
        )
        return {
            "inter.broker.listener.name": LISTENER,
            "sasl.enabled.mechanisms": MECHANISM,
            "sasl.mechanism.inter.broker.protocol": MECHANISM,
            f"listener.name.{LISTENER.lower()}.{MECHANISM.lower()}.sasl.jaas.config": jaas,
            "ssl.keystore.location": str(folder / "broker.p12"),
            "ssl.keystore.password": _STORE_PASSWORD,
            "ssl.truststore.location": str(authority(folder)),
            "ssl.truststore.type": "PEM",
        }


def authority(folder: Path) -> Path:
    """Certificate that clients have to trust: the broker's own, signed by itself."""
    return folder / "ca.pem"


def make_certificate(keytool: str, folder: Path) -> None:
    """Make a certificate for 127.0.0.1 and localhost, once. Takes some seconds."""
    if authority(folder).is_file():
        return
    (folder / "broker.p12").unlink(missing_ok=True)
    names = ["-dname", "CN=localhost", "-ext", "san=ip:127.0.0.1,dns:localhost"]
    _run(keytool, folder, "-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-validity", _DAYS, *names)
    _run(keytool, folder, "-exportcert", "-rfc", "-file", str(folder / "ca.partial"))
    (folder / "ca.partial").rename(authority(folder))


def _run(keytool: str, folder: Path, *order: str) -> None:
    store = ["-alias", "broker", "-keystore", str(folder / "broker.p12"), "-storepass", _STORE_PASSWORD]
    quick = ["-J-XX:TieredStopAtLevel=1", "-J-XX:+UseSerialGC"]
    result = subprocess.run([keytool, *quick, *order, *store], capture_output=True, text=True, check=False)
    if result.returncode:
        raise CertificateError(f"keytool {order[0]}: " + (result.stdout + result.stderr)[-1000:])
