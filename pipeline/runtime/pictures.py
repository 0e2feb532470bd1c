"""The demo's sample frame: a synthetic scene with what is known about it and what the pipeline said of it.

Drawn by the camera side from ground truth and alerts alone; no frame comes back from a worker.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.records import Alert
from pipeline.runtime.canvas import Canvas, Colour
from pipeline.synthetic.street import FaceTruth, Street

ALERTED: Final[Colour] = (72, 72, 240)
EARLIER: Final[Colour] = (70, 170, 255)
LISTED: Final[Colour] = (90, 215, 240)
STRANGER: Final[Colour] = (225, 225, 225)
WRONG: Final[Colour] = (230, 70, 220)
INSET: Final = 176
"""Side of the enlarged face, in pixels of a picture 720 px high."""


class _Note(NamedTuple):
    """What is drawn around one face."""

    colour: Colour
    lines: tuple[str, ...]
    box: tuple[float, float, float, float]
    landmarks: tuple[tuple[float, float], ...]
    prominent: bool


def best_alert(streets: Mapping[str, Street], alerts: Iterable[Alert]) -> Alert | None:
    """The alert that shows best: true by the ground truth, its face in full view and tall enough to be seen, others
    around it; None if none is true.

    `streets` are by camera id.
    """
    shown: list[tuple[float, str, Alert]] = []
    for alert in alerts:
        face = _face_of(streets[alert.camera], alert) if alert.camera in streets else None
        if face is not None:
            company = len(streets[alert.camera].truth(alert.sequence).faces) - 1
            shown.append((min(face.height, 64.0) * (1.0 - face.occlusion) + 8.0 * min(company, 4), alert.id, alert))
    return max(shown, key=lambda each: each[:2])[2] if shown else None


def annotated_frame(street: Street, sequence: int, alerts: Iterable[Alert]) -> bytes:
    """Frame `sequence` of a street as PNG, with boxes, landmarks and ids from ground truth, and ids and scores of
    alerts.

    `alerts` are the run's; those of other cameras and of later frames are left out.
    """
    here = [alert for alert in alerts if alert.camera == street.spec.camera and alert.sequence <= sequence]
    picture = street.render(sequence % street.frames_per_loop)
    notes = _notes(street, sequence, here)
    canvas = Canvas(picture.copy())
    for note in sorted(notes, key=lambda each: each.prominent):
        canvas.corners(note.box, note.colour, 3 if note.prominent else 2)
        canvas.dots(note.landmarks, note.colour)
    if prominent := [note for note in notes if note.prominent]:
        _enlarge(canvas, picture, max(prominent, key=lambda note: note.box[3] - note.box[1]))
    for note in sorted(notes, key=lambda each: not each.prominent):
        canvas.label(note.lines, note.box, note.colour, bold=note.prominent)
    _legend(canvas, street, sequence, {note.colour for note in notes})
    done, png = cv2.imencode(".png", canvas.image)
    if not done:
        raise InputError(f"frame {sequence} of camera {street.spec.camera} cannot be stored as PNG")
    return png.tobytes()


def _notes(street: Street, sequence: int, alerts: Sequence[Alert]) -> list[_Note]:
    faces = street.truth(sequence).faces
    now = {alert.entry: alert for alert in alerts if alert.sequence == sequence}
    earlier = {
        face.pass_id: alert
        for alert in alerts
        if alert.sequence < sequence and (face := _face_of(street, alert)) is not None
    }
    notes = []
    for face in faces:
        alert = now.pop(face.entry, None) if face.listed else None
        lines: tuple[str, ...]
        if alert is not None:
            colour, lines = ALERTED, (f"{face.entry}   {alert.score:.2f}", f"alert {_short(alert.id)}")
        elif face.pass_id in earlier:
            before = earlier[face.pass_id]
            colour, lines = EARLIER, (face.entry, f"alert {_short(before.id)} at frame {before.sequence}")
        elif face.listed:
            colour, lines = LISTED, (face.entry,)
        else:
            colour, lines = STRANGER, (f"pass {face.pass_id.rpartition('/')[2]}",)
        notes.append(_Note(colour, lines, face.box, face.landmarks, alert is not None))
    notes += [
        _Note(WRONG, (f"{alert.entry}   {alert.score:.2f}", f"false alert {_short(alert.id)}"), alert.box, (), True)
        for alert in now.values()
    ]
    return notes


def _face_of(street: Street, alert: Alert) -> FaceTruth | None:
    """The face that an alert is right about, or None."""
    return next(
        (face for face in street.truth(alert.sequence).faces if face.listed and face.entry == alert.entry), None
    )


def _short(alert_id: str) -> str:
    return alert_id if len(alert_id) <= 12 else f"{alert_id[:8]}…"


def _enlarge(canvas: Canvas, picture: NDArray[np.uint8], note: _Note) -> None:
    """The face that alerted, enlarged into the upper corner that is farther from it."""
    left, top, right, bottom = note.box
    half = 0.75 * max(right - left, bottom - top)
    centre = (0.5 * (left + right), 0.5 * (top + bottom))
    side = canvas.pixels(INSET)
    scale = side / (2 * half)
    move = np.array([[scale, 0, side / 2 - scale * centre[0]], [0, scale, side / 2 - scale * centre[1]]])
    face = cv2.warpAffine(picture, move, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    at_left = centre[0] > canvas.width / 2
    canvas.inset(face.astype(np.uint8, copy=False), at_left, note.colour, f"enlarged {scale:.1f} times")


def _legend(canvas: Canvas, street: Street, sequence: int, colours: set[Colour]) -> None:
    meanings = (
        (ALERTED, "alert on this frame"),
        (EARLIER, "alert earlier in this pass"),
        (LISTED, "on the watchlist, no alert yet"),
        (STRANGER, "not on the watchlist"),
        (WRONG, "false alert"),
    )
    canvas.legend(
        f"{street.spec.camera}   frame {sequence}",
        "synthetic scene: nobody in it exists",
        [(colour, meaning) for colour, meaning in meanings if colour in colours],
    )
