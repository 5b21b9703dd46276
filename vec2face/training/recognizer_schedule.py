"""The learning rate of a recogniser's training, and how long that is."""

import bisect
import math
from dataclasses import dataclass

from vec2face.config.recognition import RecognitionSchedule


@dataclass(frozen=True)
class Course:
    """A schedule for a certain set of images: everything in images seen.

    Attributes:
        schedule: what was asked for.
        images: when the training ends.
        epoch: images of an epoch.
    """

    schedule: RecognitionSchedule
    images: int
    epoch: int

    @classmethod
    def of(cls, schedule: RecognitionSchedule, *, epoch: int) -> "Course":
        """Lay a schedule over epochs of `epoch` images."""
        images = schedule.length * (epoch if schedule.unit == "epochs" else 1)
        return cls(schedule, max(1, round(images)), epoch)

    @property
    def steps(self) -> int:
        """Steps in all; the last one is whole."""
        return math.ceil(self.images / self.schedule.batch_size)

    def learning_rate(self, images_seen: int) -> float:
        """Return the rate of the step that begins after so many images.

        It rises linearly during the warm-up; then it is multiplied by `drop_factor` at each point of `drop_at`, the
        first step that begins at the point or after it being the first of the lower rate; or it follows half a cosine
        to `final_share` of the peak.
        """
        schedule = self.schedule
        unit = self.epoch if schedule.unit == "epochs" else 1
        warmup = schedule.warmup * unit
        if images_seen < warmup:
            return schedule.learning_rate * (images_seen + schedule.batch_size) / (warmup + schedule.batch_size)
        if schedule.decay == "steps":
            passed = bisect.bisect_right([point * unit for point in schedule.drop_at], images_seen)
            return schedule.learning_rate * schedule.drop_factor**passed
        done = min(1.0, (images_seen - warmup) / (self.images - warmup))
        share = schedule.final_share + (1 - schedule.final_share) * 0.5 * (1 + math.cos(math.pi * done))
        return schedule.learning_rate * share
