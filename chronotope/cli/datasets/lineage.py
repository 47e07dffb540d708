"""What `chronotope audit` does: which clips trained a run, under which licences; is a video one of them; remove one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chronotope import checkpoint
from chronotope.curate.decide import NEAR_BITS_OF_PICTURES
from chronotope.curate.fingerprints import NEAR_BITS, Fingerprinted, near_duplicates, scenes
from chronotope.curate.listing import Row, looked_at, source_identities
from chronotope.curate.look import EVERY, Looked, Shot, look
from chronotope.curate.removal import removals, remove_source
from chronotope.curate.write import written_contents
from chronotope.data.exports.verify import stale_descriptions
from chronotope.data.latents import read_header, read_index
from chronotope.data.record import data_behind, find_latents, latents_of_run, roots_of
from chronotope.errors import FileProblem, UsageError
from chronotope.generate.training_clips import dataset_of
from chronotope.manifest import read_curation
from chronotope.media.rights import RecordedRights, Rights, rights_from
from chronotope.storage import file_sha256

__all__ = ["audited", "find_in", "remove_from"]

AS_RECORDED = ", as far as is recorded"
NEXT = "train again in a new folder: these weights, and their latents, keep what they have seen"
TAKEN_OUT = "taken out of the dataset since"
FIND_SECONDS = 60.0  # of a part of the video that is looked for


@dataclass(frozen=True)
class _Trained:
    """One folder of latents that trained a run: its items, the folder of its clips, and the curated dataset there."""

    latents: Path
    items: tuple[dict[str, Any], ...]
    clips: Path
    dataset: Path | None
    curation: tuple[Row, ...]


def audited(run: Path, data: Sequence[Path]) -> dict[str, Any]:
    """Return the clips that trained a run, counted by licence and holder; `data` are further folders of latents."""
    description = _description(run)
    found, unknown = _trained_on(run, description, data)
    rights: Counter[str] = Counter()
    clips = []
    recorded = RecordedRights()
    for one in found:
        known = _rows_by_content(one)
        for file, content in _sources(one).items():
            row = known.get((file, content))
            if row is None and one.dataset is None:
                licence, holder = _named(recorded.of_content(one.clips / file, content))
            else:
                licence, holder = _named(rights_from(row["rights"]) if row else Rights())
            rights[f"{licence}, {holder}"] += 1
            origin = {"from": row["file"], "start": row["start"], "seconds": row["seconds"]} if row else {}
            clips.append({"clip": file, "sha256": content, "licence": licence, "holder": holder, **origin})
    behind = data_behind(description)
    facts: dict[str, Any] = {
        "run": str(run),
        "clips": len(clips),
        "items": sum(len(one.items) for one in found),
        "rights": dict(rights.most_common()),
        "datasets": [f"{one.dataset or 'not curated'} ({one.latents})" for one in found],
        "Merkle roots": roots_of(behind).get("curation", "").split() or "none",
        "started from": description.get("started_from") or "random weights",
    }
    if others := [sentence for one in found if (sentence := _curated_again(one))]:
        facts["changed since"] = others
    if merged := description.get("merged"):
        facts["merged of"] = [
            f"{one.get('adapter')}, weight {one.get('weight')}, hash {one.get('hash')}" for one in merged
        ]
    if taken := [clip for one in found for clip in _taken_out(one)]:
        facts[TAKEN_OUT] = taken
        facts["next"] = NEXT
    facts |= _not_recorded(description)
    if unknown:
        facts["not found"] = [
            f"{about.get('clips')} items of manifest {str(about.get('manifest'))[:12]}; name their latents with --data"
            for about in unknown
        ]
    return {**facts, "list": clips}


def find_in(run: Path, data: Sequence[Path], file: Path) -> dict[str, Any]:
    """Return the training clips that are a video or picture, or show nearly the same."""
    description = _description(run)
    found, unknown = _trained_on(run, description, data)
    lost, content = _not_recorded(description), file_sha256(file)
    looked = look(file, FIND_SECONDS)
    alike = [_alike(looked, content, one) for one in found]
    exact = {clip for one in alike for clip in one.exact}
    near, shared = ({clip for one in alike for clip in getattr(one, kind)} - exact for kind in ("near", "shared"))
    plain = not any(shot.hashes for shot in looked.shots)
    known = not unknown and not plain and all(one.whole for one in alike)
    facts: dict[str, Any] = {
        "video": str(file),
        "trained on it": sorted(exact) or ("not known" if unknown else f"no{AS_RECORDED if lost else ''}"),
        "nearly the same": sorted(near) or ("none" if known else "not known"),
    }
    if looked.picture:
        none = f"none, of one frame each {EVERY:g} s" if known else "not known"
        facts["nearly a frame of"] = sorted(shared) or none
    elif shared:
        facts["has nearly the picture"] = sorted(shared)
    if plain:
        facts["not compared"] = "it is of nearly one colour, by which nothing is recognised"
    if taken := sorted((exact | near | shared) & {clip for one in found for clip in _taken_out(one)}):
        facts[TAKEN_OUT] = taken
    facts |= lost
    if unknown:
        facts["not found"] = f"{len(unknown)} of {len(unknown) + len(found)} folders of latents; name them with --data"
    return facts


def _curated_again(one: _Trained) -> str:
    """Say where a dataset is another list now than the one that was encoded: its licences may be others, too."""
    if one.dataset is None or (then := read_header(one.latents).get("curation")) is None:
        return ""
    now = read_curation(one.dataset)[0]["merkle_root"]
    if now == then:
        return ""
    return (
        f"{one.dataset} was curated again or changed after its clips were encoded (Merkle root {then[:12]} then, "
        f"{now[:12]} now): licences and holders are those of its list of now"
    )


def _not_recorded(description: dict[str, Any]) -> dict[str, Any]:
    """Name the weights behind a model of which nobody recorded the training data, such as those of `small`."""
    lost = [about["weights"] for about in data_behind(description) if "weights" in about]
    return {"not recorded": [f"what trained the weights {name or 'of this model'}" for name in lost]} if lost else {}


@dataclass
class _Alike:
    """Which clips of a folder of latents are a file, show nearly the same, or share a frame with it where one of both
    is a picture; `whole` where all of them were compared.
    """

    exact: list[str] = field(default_factory=list)
    near: list[str] = field(default_factory=list)
    shared: list[str] = field(default_factory=list)
    whole: bool = True


def _alike(looked: Looked, content: str, one: _Trained) -> _Alike:
    """Compare a file with the clips that trained a run, by what was noted of their sources when they were curated."""
    found, known = _Alike(whole=one.dataset is not None), _rows_by_content(one)
    files = looked_at(one.dataset) if one.dataset else {}
    contents = {name: file.sha256 for name, file in source_identities(one.dataset).items()} if one.dataset else {}
    for clip, sha256 in _sources(one).items():
        row = known.get((clip, sha256))
        if content in (sha256, row and row["source"]["sha256"]):
            found.exact.append(clip)
        source = files.get(row["file"]) if row else None
        if row is None or source is None or contents.get(row["file"]) != row["source"]["sha256"]:
            found.whole = False
            continue
        for shot in (shot for shot in source.shots if shot.start == row["start"]):
            if source.picture == looked.picture:
                bits = NEAR_BITS_OF_PICTURES if looked.picture else NEAR_BITS
                if any(_shows(each, shot, bits) for each in looked.shots):
                    found.near.append(clip)
            elif any(_shares_a_frame(each, shot) for each in looked.shots):
                found.shared.append(clip)
    return found


def _shows(one: Shot, other: Shot, bits: int) -> bool:
    """Return whether most frames of one shot, or most of them mirrored, are nearly frames of the other."""
    ranked = [Fingerprinted(f"{rank}", shot.hashes, (rank,), "", shot.colour) for rank, shot in enumerate((other, one))]
    return bool(near_duplicates(ranked, bits))


def _shares_a_frame(one: Shot, other: Shot) -> bool:
    """Return whether the only frame of one of two shots is nearly a frame of the other: by what is seen in it, since
    nothing moves in a picture.
    """
    few, many = sorted((scenes(one.hashes), scenes(other.hashes)), key=len)
    ranked = [Fingerprinted(f"{rank}", hashes, (rank,)) for rank, hashes in enumerate((many, few))]
    return bool(near_duplicates(ranked, NEAR_BITS_OF_PICTURES))


def remove_from(run: Path, data: Sequence[Path], name: str) -> dict[str, Any]:
    """Take a clip, or all clips of a source file, out of the dataset; return the checkpoints that have seen it."""
    found, _ = _trained_on(run, _description(run), data)
    for one in found:
        files = {name for row in one.curation for name in (row["file"], row.get("clip"), row["key"]) if name}
        if one.dataset is not None and name in files:
            removed = remove_source(one.dataset, name)
            shown = {file for other in found if other.dataset == one.dataset for file in _sources(other)}
            seen = _weights(run) if shown & {*removed} else []
            return {
                "removed": removed,
                "dataset": str(one.dataset),
                "Merkle root now": read_curation(one.dataset)[0]["merkle_root"],
                "weights that have seen it": seen or f"none of {run}",
                "still describe it": list(stale_descriptions(one.dataset)) or "nothing",
                "next": NEXT if seen else "nothing: it was not trained on",
            }
    raise UsageError(
        f"no clip or source file of the curated data of {run} is called {name}; `chronotope audit {run} --list` names "
        "them"
    )


def _weights(run: Path) -> list[str]:
    """Return the checkpoints and the finished weights of a run."""
    folders = [*checkpoint.checkpoints(run / "dit"), run / "dit"]
    return [folder.as_posix() for folder in folders if (folder / "model.json").is_file()]


def _description(run: Path) -> dict[str, Any]:
    """Return the description of the finished transformer of a run, or of its newest checkpoint."""
    folder = run / "dit" if (run / "dit").is_dir() else run
    source = folder if (folder / "model.json").is_file() else checkpoint.latest_checkpoint(folder)
    if source is None:
        raise FileProblem(f"{run} holds no trained transformer and no checkpoint of one")
    description = checkpoint.read_description(source)
    if not any("manifest" in about for about in data_behind(description)):
        raise FileProblem(f"{source / 'model.json'} names no training data: an older version wrote it")
    return description


def _trained_on(
    run: Path, description: dict[str, Any], data: Sequence[Path]
) -> tuple[list[_Trained], list[dict[str, Any]]]:
    """Return the folders of latents that trained a run, and what is said of those that are not found."""
    recorded = [about for about in data_behind(description) if "weights" not in about]
    places, unknown = find_latents(recorded, [*latents_of_run(run, description), *data])
    found = []
    for place in places:
        dataset = dataset_of(run, place, read_header(place))
        curated = (dataset / "curation.json").is_file()
        rows = read_curation(dataset)[1] if curated else []
        found.append(_Trained(place, tuple(read_index(place)), dataset, dataset if curated else None, tuple(rows)))
    return found, unknown


def _sources(one: _Trained) -> dict[str, str]:
    """Return the clip files of a folder of latents with the hashes of their contents; parts of a clip count once."""
    return {row["source"]["file"]: row["source"]["sha256"] for row in one.items if row.get("source")}


def _rows_by_content(one: _Trained) -> dict[tuple[str, str], Row]:
    """Return what is known of clips by their files and contents, of those that were taken out since, too.

    A file that another one has replaced since the training says nothing of what the training saw.
    """
    if one.dataset is None:
        return {}
    contents = written_contents(one.dataset)
    kept = [row for row in one.curation if row["state"] == "kept"]
    removed = [row for row in removals(one.dataset) if "was" in row]  # older lines lack it
    taken = [{**row["was"], "source": {"sha256": row["sha256"]}} for row in removed]
    found = {(row["clip"], row["content"]): row for row in taken}
    return found | {(row["clip"], contents.get(row["clip"], "")): row for row in kept}


def _taken_out(one: _Trained) -> list[str]:
    """Return the clips that trained a run and were taken out of their dataset since."""
    if one.dataset is None:
        return []
    removed = removals(one.dataset)
    gone = {(row["was"]["clip"], row["was"]["content"]) for row in removed if "was" in row}
    whole = {row["sha256"] for row in removed if row["start"] is None}  # a file without a cut is its own clip
    kept = {row["clip"] for row in one.curation if row["state"] == "kept"}
    items = _sources(one).items()
    return [clip for clip, sha256 in items if clip not in kept and ((clip, sha256) in gone or sha256 in whole)]


def _named(rights: Rights) -> tuple[str, str]:
    return rights.licence or "licence unknown", rights.holder or "holder not named"


def check_video(path: Path) -> None:
    """Raise FileProblem for a file that is not there."""
    if not path.is_file():
        raise FileProblem(f"{path} is no file; name a video or a picture with --find")
