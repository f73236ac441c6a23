"""How heads are turned, from five landmarks of each."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from age_gender.vision.geometry import Float, roll_angles

HEAD = np.array(
    [[-31, -38, -32], [31, -38, -32], [0, 0, 0], [-25, 28, -22], [25, 28, -22]], np.float32
)
"""The five landmarks of a head that looks straight ahead, millimetres: right, down, forwards."""
_TO_HEAD = np.linalg.pinv(HEAD - HEAD.mean(axis=0)).T.astype(np.float32)
_OVAL = np.array([[-60, -88], [60, 64]], np.float32)
"""Upper left and lower right corner of the face in the same millimetres, seen from the front."""
_OVAL_DEPTH = -35.0
_HALF_OVAL = (_OVAL[1] - _OVAL[0]) / 2
_TO_MIDDLE = (np.append(_OVAL.mean(axis=0), _OVAL_DEPTH) - HEAD.mean(axis=0)).astype(np.float32)


@dataclass(frozen=True)
class Poses:
    """How N heads are turned.

    An affine camera is fitted to a mean head (the POS of DeMenthon and Davis, "Model-Based Object
    Pose in 25 Lines of Code", 1995). With five points it is good to about ten degrees.

    Attributes:
        landmarks: float32 ``[N, 5, 2]``, pixels.
        angles: float32 ``[N]``, in-plane rotation in radians, see `geometry.roll_angles`.
        cos: float32 ``[N]``, of the angles.
        sin: float32 ``[N]``, of the angles.
        right: float32 ``[N, 3]``, pixels per millimetre of `HEAD` to the face's right.
        down: float32 ``[N, 3]``, pixels per millimetre of `HEAD` downwards along the face.
    """

    landmarks: Float
    angles: Float
    cos: Float
    sin: Float
    right: Float
    down: Float

    @classmethod
    def of(cls, landmarks: Float) -> Self:
        """Fit the cameras to landmarks ``[N, 5, 2]``."""
        angles = roll_angles(landmarks)
        cos, sin = np.cos(angles), np.sin(angles)
        # The weights of each axis sum to zero; from the nose, so that large offsets cost no digits.
        x, y = np.matmul((landmarks - landmarks[:, 2:3]).transpose(2, 0, 1), _TO_HEAD)
        c, s = cos[:, None], sin[:, None]
        return cls(landmarks, angles, cos, sin, c * x + s * y, c * y - s * x)

    @property
    def rolls(self) -> Float:
        """In-plane rotation, degrees, clockwise positive, ``[N]``."""
        return np.degrees(self.angles)

    @property
    def yaws(self) -> Float:
        """How far each face is turned sideways: 0 frontal, about +-1 in profile.

        It is the nose tip's offset from the midpoint of the eyes, along the line between them, in
        halves of the distance between the eyes: float32 ``[N]``, clipped to -1 .. 1; positive when
        turned to the right of the image.
        """
        left, right, nose = self.landmarks[:, 0], self.landmarks[:, 1], self.landmarks[:, 2]
        across = right - left
        offset = ((2 * nose - left - right) * across).sum(axis=1)
        yaws = offset / np.maximum(_dot(across, across), 1e-12)
        return np.asarray(np.clip(yaws, -1, 1), np.float32)

    @property
    def yaw_degrees(self) -> Float:
        """Yaw, -90 to 90, positive when turned to the right of the image, float32 ``[N]``."""
        right = self.right
        return np.degrees(np.arctan2(right[:, 2], np.hypot(right[:, 0], right[:, 1])))

    @property
    def pitch_degrees(self) -> Float:
        """Pitch, -90 to 90, positive when looking up, float32 ``[N]``."""
        down = self.down
        return np.degrees(np.arctan2(-down[:, 2], np.hypot(down[:, 0], down[:, 1])))

    @property
    def boxes(self) -> Float:
        """Boxes around the faces that the landmarks belong to, float32 ``[N, 4]``, pixels."""
        right, down, cos, sin = self.right, self.down, self.cos, self.sin
        zoom = np.sqrt(np.maximum(_dot(right, right), _dot(down, down)))
        wide, high = _HALF_OVAL[0] * np.hypot(right[:, 0], right[:, 1]), _HALF_OVAL[1] * zoom
        x, y = right @ _TO_MIDDLE, down @ _TO_MIDDLE
        middle = self.landmarks.mean(axis=1)
        middle[:, 0] += cos * x - sin * y
        middle[:, 1] += sin * x + cos * y
        cos, sin = np.abs(cos), np.abs(sin)
        reach = np.stack([cos * wide + sin * high, cos * high + sin * wide], axis=1)
        return np.concatenate([middle - reach, middle + reach], axis=1)


def _dot(a: Float, b: Float) -> Float:
    return np.asarray((a * b).sum(axis=1), np.float32)
