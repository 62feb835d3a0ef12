"""How a compacted segment is compressed: with zstandard where it is installed, else as gzip.

The suffix of the name says which. Either way the content that comes back is the segment, byte for
byte, or an error says why not. The same content gives the same bytes.
"""

import zlib
from typing import Final

try:
    import zstandard
except ImportError:
    HAS_ZSTANDARD = False
else:
    HAS_ZSTANDARD = True

_GZIP: Final = 31
"""What zlib calls the gzip form with its largest window."""

_GZIP_LEVEL: Final = 6
_ZSTANDARD_LEVEL: Final = 9
"""Packing is done once and away from the writer, so it may take its time."""


class PackUnreadable(ValueError):
    """These bytes are no packed segment, or this machine cannot unpack them."""


def is_packed(name: str) -> bool:
    """Whether a file of this name is a packed segment."""
    return name.endswith((".gz", ".zst"))


def pack(content: bytes) -> tuple[str, bytes]:
    """The suffix for the name, and the packed bytes."""
    if HAS_ZSTANDARD:
        compressor = zstandard.ZstdCompressor(level=_ZSTANDARD_LEVEL, write_checksum=True)
        return "zst", compressor.compress(content)
    gzip = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP)
    return "gz", gzip.compress(content) + gzip.flush()


def unpack(name: str, packed: bytes) -> bytes:
    """The content of the file with this name. Raises `PackUnreadable`."""
    return _unpack_zstandard(packed) if name.endswith(".zst") else _unpack_gzip(packed)


def unpack_start(name: str, packed: bytes) -> bytes:
    """What the first bytes of such a file hold. Raises `PackUnreadable`."""
    if not name.endswith(".zst"):
        try:
            return zlib.decompressobj(_GZIP).decompress(packed)
        except zlib.error as error:
            raise PackUnreadable(f"it cannot be unpacked: {error}") from None
    _need_zstandard()
    try:
        return bytes(zstandard.ZstdDecompressor().decompressobj().decompress(packed))
    except zstandard.ZstdError as error:
        raise PackUnreadable(f"it cannot be unpacked: {error}") from None


def _unpack_gzip(packed: bytes) -> bytes:
    gzip = zlib.decompressobj(_GZIP)
    try:
        content = gzip.decompress(packed) + gzip.flush()
    except zlib.error as error:
        raise PackUnreadable(f"it cannot be unpacked: {error}") from None
    if not gzip.eof or gzip.unused_data:
        raise PackUnreadable("it does not end where it should")
    return content


def _unpack_zstandard(packed: bytes) -> bytes:
    _need_zstandard()
    try:
        return bytes(zstandard.ZstdDecompressor().decompress(packed))
    except zstandard.ZstdError as error:
        raise PackUnreadable(f"it cannot be unpacked: {error}") from None


def _need_zstandard() -> None:
    if not HAS_ZSTANDARD:
        raise PackUnreadable("it needs the package zstandard: pip install 'ackbook[zstd]'")
