"""Certificates as some devices have them: their extensions say `critical: FALSE`, which DER leaves out."""

from collections.abc import Iterator


def with_defaults(der: bytes) -> bytes:
    """The certificate with all values that its extensions may leave out.  The signature does not fit any more."""
    [(_, body)] = _parts(der)
    (tag, signed), *rest = _parts(body)
    fields = [(t, _spelt_out(c)) if t == 0xA3 else (t, c) for t, c in _parts(signed)]
    return _one(0x30, _all([(tag, _all(fields)), *rest]))


def _spelt_out(extensions: bytes) -> bytes:
    [(_, listed)] = _parts(extensions)
    told = []
    for _, extension in _parts(listed):
        parts = list(_parts(extension))
        told.append((0x30, _all([parts[0], (1, b"\0"), parts[1]] if len(parts) == 2 else parts)))
    return _one(0x30, _all(told))


def _parts(content: bytes) -> Iterator[tuple[int, bytes]]:
    while content:
        size, start = content[1], 2
        if size & 0x80:
            start += size & 0x7F
            size = int.from_bytes(content[2:start], "big")
        yield content[0], content[start : start + size]
        content = content[start + size :]


def _all(parts: list[tuple[int, bytes]]) -> bytes:
    return b"".join(_one(tag, content) for tag, content in parts)


def _one(tag: int, content: bytes) -> bytes:
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    if len(content) < 0x100:
        return bytes((tag, 0x81, len(content))) + content
    return bytes((tag, 0x82)) + len(content).to_bytes(2, "big") + content
