"""`tocsin bundle`: rules packed into one archive, signed, checked and looked at."""

import datetime as dt
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import orjson
import typer

from rules.engine import ArchiveError, BundleError, bundled_root
from rules.engine.archive import SITE, Archive, pack
from service.bundles import fits, read_archive, trusted
from service.packing import pack_rules
from service.settings import Settings
from service.signing import key_id, make_keys, read_private, sign
from service.workbench import CONTENT_WRONG, local_knowledge, local_settings, refuse, tell

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True)
_File = Annotated[Path, typer.Argument(metavar="FILE", help="The archive.", show_default=False)]
_EPOCH = "SOURCE_DATE_EPOCH"


@app.command()
def build(
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="FILE", help="Default: tocsin-rules-VERSION.tar.gz.", dir_okay=False
        ),
    ] = None,
    overlay: Annotated[
        Path | None,
        typer.Option(
            "--overlay",
            metavar="SITE.yaml",
            help="Put the settings file of a site in too.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    rules: Annotated[
        Path | None,
        typer.Option(
            "--rules",
            metavar="FOLDER",
            help="Folder laid out as rules/. The bundled rules without it.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
) -> None:
    """Check rules, run their cases, and pack them. The same rules give the same file.

    The time in it is SOURCE_DATE_EPOCH (seconds since 1970) where that is set; otherwise it has none.
    """
    try:
        archive = pack_rules(rules or bundled_root(), overlay, _created())
    except BundleError as error:
        tell(error.problems)
        refuse(f"Nothing is packed: {len(error.problems)} problems.", code=CONTENT_WRONG)
    except OSError as error:
        refuse(f"The rules cannot be read or laid out ({error.strerror}).", code=CONTENT_WRONG)
    file = output or Path(f"tocsin-rules-{archive.manifest.version}.tar.gz")
    _write(file, pack(archive))
    typer.echo(f"{file}: rules {archive.manifest.version}, {len(archive.files)} files, not signed")
    typer.echo(f"archive {archive.digest}")


@app.command("sign")
def sign_file(
    file: _File,
    key: Annotated[
        Path, typer.Option("--key", metavar="PRIVATE.pem", help="The private key.", show_default=False)
    ],
) -> None:
    """Sign an archive. The signature goes into the file, in the place of one that is there."""
    with _told(file):
        archive = read_archive(file)
        private = read_private(key)
    signed = archive.signed(sign(private, archive.manifest_bytes))
    _write(file, pack(signed))
    typer.echo(f"{file}: signed by {key_id(private.public_key())}")


@app.command()
def keygen(
    folder: Annotated[
        Path,
        typer.Option(
            "--folder", metavar="FOLDER", help="Where the two files go; it is made.", file_okay=False
        ),
    ] = Path(),
    name: Annotated[
        str,
        typer.Option("--name", metavar="NAME", help="NAME.key is the private key, NAME.pem the public one."),
    ] = "tocsin-rules",
) -> None:
    """Make a pair of Ed25519 keys. The private one is for whoever signs and goes to no server."""
    private, public = folder / f"{name}.key", folder / f"{name}.pem"
    secret, shown = make_keys()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        refuse(f"{folder} cannot be made ({error.strerror}).", code=CONTENT_WRONG)
    for path, content, mode in ((private, secret, 0o600), (public, shown, 0o644)):
        try:
            # Exclusive: a key that is overwritten cannot be had back.
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as opened:
                opened.write(content)
        except OSError as error:
            refuse(f"{path} cannot be written ({error.strerror}).", code=CONTENT_WRONG)
    typer.echo(f"{private}: private key, for `tocsin bundle sign`; keep it off the servers")
    typer.echo(f"{public}: public key, for TOCSIN_RULES_KEY")


@app.command()
def verify(
    file: _File,
    keys: Annotated[
        list[Path],
        typer.Option("--key", metavar="PUBLIC.pem", help="A trusted public key; more than one may be given."),
    ],
) -> None:
    """Check an archive as the service does: whole, signed by a trusted key, for this version, and it loads.

    Ends with 1 and one line when it is not.
    """
    with _told(file):
        archive = read_archive(file)
        signed_by = trusted(archive, keys)
        fits(archive)
    settings = _with_archive(local_settings(), file, keys)
    bundle = local_knowledge(settings).bundle
    typer.echo(f"{file}: good, signed by {signed_by}")
    typer.echo(f"rules {bundle.version}, {len(bundle.programs)} rules, archive {archive.digest}")


@app.command()
def show(
    file: _File,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the manifest and what it is known by.")
    ] = False,
) -> None:
    """Say what an archive holds. Its hashes are checked; who signed it is what `verify` tells."""
    with _told(file):
        archive = read_archive(file)
    if as_json:
        facts = {
            "archive": archive.digest,
            "signed": bool(archive.signature),
            "manifest": msgspec.to_builtins(archive.manifest),
        }
        typer.echo(orjson.dumps(facts, option=orjson.OPT_INDENT_2).decode())
        return
    for name, value in _facts(archive):
        typer.echo(f"{name:<10} {value}")


def _facts(archive: Archive) -> Iterator[tuple[str, str]]:
    manifest = archive.manifest
    size = sum(map(len, archive.files.values()))
    rules = sum(name.endswith("/rule.yaml") for name in archive.files)
    yield "archive", archive.digest
    yield "rules", f"{manifest.version}, {rules} rules, {len(archive.files)} files, {size} bytes"
    yield "decisions", f"carry {manifest.digest}"
    yield "tocsin", f"from {manifest.at_least}, below {manifest.below}"
    yield "created", manifest.created or "not said"
    yield "site file", "inside" if SITE in archive.files else "none"
    yield "signature", "there; `tocsin bundle verify` checks it" if archive.signature else "none"


def _with_archive(settings: Settings, file: Path, keys: list[Path]) -> Settings:
    return settings.model_copy(update={"rules_bundle": file, "rules_key": tuple(keys)})


@contextmanager
def _told(file: Path) -> Iterator[None]:
    """Turn what is wrong with an archive or a key into one line, and end with 1."""
    try:
        yield
    except ArchiveError as error:
        about = "" if error.code == "bundle-key-invalid" else f"{file}: "
        refuse(f"{about}{error}", code=CONTENT_WRONG)


def _created() -> str:
    given = os.environ.get(_EPOCH, "")
    if not given:
        return ""
    try:
        return dt.datetime.fromtimestamp(int(given), dt.UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        refuse(f"{_EPOCH} is no number of seconds since 1970.")


def _write(file: Path, content: bytes) -> None:
    """Put a file in its place at once, so that a service that watches it never sees half of it."""
    draft = file.with_name(f".{file.name}.draft")
    try:
        draft.write_bytes(content)
        os.replace(draft, file)
    except OSError as error:
        draft.unlink(missing_ok=True)
        refuse(f"{file} cannot be written ({error.strerror}).", code=CONTENT_WRONG)
