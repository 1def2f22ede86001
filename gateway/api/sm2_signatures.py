"""SM2 with SM3 as an algorithm of HTTP message signatures, under the private name ``sm2-sm3``.

The registry of RFC 9421 (section 6.2) knows none for SM2; the signature is that of ``gateway.vault.sm2``.
"""

from http_message_signatures import HTTPMessageSignaturesException
from http_message_signatures.algorithms import HTTPSignatureAlgorithm

from gateway.vault.errors import StatementError
from gateway.vault.sm2 import Sm2PrivateKey, Sm2PublicKey


class Sm2Sm3(HTTPSignatureAlgorithm):
    """The algorithm in the form that the library asks for.

    Args:
        public_key: Verifies.
        private_key: Signs.
    """

    algorithm_id = "sm2-sm3"

    def __init__(
        self, public_key: Sm2PublicKey | None = None, private_key: Sm2PrivateKey | None = None
    ) -> None:
        self._public, self._private = public_key, private_key

    def sign(self, message: bytes) -> bytes:
        """The signature, 64 bytes.

        Raises:
            HTTPMessageSignaturesException: There is no private key.
        """
        if self._private is None:
            raise HTTPMessageSignaturesException("no private key signs (expected an SM2 key)")
        return self._private.sign(message)

    def verify(self, signature: bytes, message: bytes) -> None:
        """Verify a signature.

        Raises:
            HTTPMessageSignaturesException: There is no public key, or it does not verify.
        """
        if self._public is None:
            raise HTTPMessageSignaturesException("no public key verifies (expected an SM2 key)")
        try:
            self._public.verify(signature, message)
        except StatementError as error:
            raise HTTPMessageSignaturesException(str(error)) from error
