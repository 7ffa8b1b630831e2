"""Security of the local broker: TLS with a self-signed certificate, and one login by SCRAM-SHA-512.

For testing secured clients and trying out settings, not for production: the JDK's keytool makes certificate and key
in the broker's data folder, and the password of the key is a constant in this module.
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
    """keytool could not make a certificate; the message holds its output."""


class Login(msgspec.Struct, frozen=True):
    """The one user who may connect; the broker itself uses it too."""

    user: str
    password: str

    def format_arguments(self) -> list[str]:
        """Arguments of `StorageTool format` that store the login before the broker's first start."""
        return ["--add-scram", f"{MECHANISM}=[name={self.user},password={self.password}]"]

    def client_settings(self, folder: Path) -> dict[str, str]:
        """Settings of librdkafka for clients of the broker with its data in `folder`."""
        return {
            "security.protocol": LISTENER,
            "sasl.mechanism": MECHANISM,
            "sasl.username": self.user,
            "sasl.password": self.password,
            "ssl.ca.location": str(authority(folder)),
        }

    def broker_settings(self, folder: Path) -> dict[str, str]:
        """Broker settings for a listener that accepts only this login, over TLS only."""
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
    """Path of the certificate that clients must trust: the broker's own, self-signed one."""
    return folder / "ca.pem"


def make_certificate(keytool: str, folder: Path) -> None:
    """Make a certificate for 127.0.0.1 and localhost if there is none; this takes some seconds."""
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
