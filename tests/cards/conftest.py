"""The facts of an audit that never was, and a report folder with its figures."""

import pytest

SPREAD = {"count": 45, "mean": 0.8, "std": 0.1, "p5": 0.61}


def view(name, own):
    return {
        "reference": name,
        "name": name,
        "dim": 128,
        "sha256": "e" * 64,
        "generators_own_space": own,
        "threshold": {"value": 0.42, "source": "a convention"},
        "images": 48,
        "identities": 6,
        "genuine": {**SPREAD, "total": 168, "exact": False},
        "impostor": {**SPREAD, "mean": 0.0123, "total": 960, "exact": True},
        "error_rates": {
            "eer": 0.01234,
            "auc": 0.99871,
            "fmr100": 0.02,
            "fmr1000": None,
            "tar_at_far": {"0.01": 0.98, "0.001": None},
            "fisher_ratio": 7.654,
            "fmr_at_threshold": 0.00011,
            "fnmr_at_threshold": 0.013,
        },
        "consistency": {**SPREAD, "share_at_threshold": 0.9876, "worst": [{"identity": 3, "mean": 0.5}]},
        "separation": {
            "unique": 6,
            "unique_share": 1.0,
            "pairs_at_threshold": 0,
            "nearest_centre": {**SPREAD, "max": 0.35},
            "images_compared": 48,
            "nearest_is_own_share": 0.99999,
            "closest": [{"identities": [1, 4], "cosine": 0.35}],
        },
        "to_vector": {**SPREAD, "images_compared": 48, "nearest_is_own_share": 1.0, "by_sigma": []} if own else None,
    }


@pytest.fixture
def facts():
    return {
        "format": 1,
        "vec2face": "9.8.7",
        "dataset": {
            "name": "six people",
            "fingerprint": "f" * 64,
            "seed": 4321,
            "recipe": {
                "name": "six people",
                "seed": 4321,
                "weights": "tiny",
                "identities": {"source": "pca", "count": 6, "photos": None},
                "image": {"format": "jpeg", "quality": 95},
            },
            "generator": {"sha256": "a" * 64, "feature_space": "space-128", "feature_dim": 128, "sigma_unit": 1.0},
            "bank_sha256": "b" * 64,
            "settings": {"seed": 4321},
            "bank": {"source": "pca", "ceiling": 0.3},
            "identities": 6,
            "images": 1048,
            "images_per_identity": {"min": 7, "mean": 8.0, "max": 8},
            "rejects": 1,
            "shards": 2,
            "bytes": 12_345_678,
            "repairs": {"rounds": 2, "replaced": 1234, "reasons": {"not unique": 1200, "inconsistent": 40}},
        },
        "lineage": [
            {
                "role": "generator",
                "reference": "tiny",
                "sha256": "a" * 64,
                "name": "tiny generator",
                "licence": "research only",
                "source": "this project",
                "data": [
                    {"name": "Faces A", "role": "training images", "licence": "research", "consent": "not stated"}
                ],
            }
        ],
        "settings": {"images_per_identity": 5, "pairs": 1000, "comparisons": 1000, "seed": 0},
        "embedders": [view("space-128", True), view("judge", False)],
        "checks": [
            {
                "name": "equal error rate of image pairs",
                "value": 0.01234,
                "threshold": 0.02,
                "status": "pass",
                "embedder": "judge",
                "reason": "at most 2% is good",
                "higher_is_better": False,
            },
            {
                "name": "independent embedder",
                "value": None,
                "threshold": None,
                "status": "warn",
                "embedder": None,
                "reason": "give one",
                "higher_is_better": None,
            },
        ],
        "verdict": "warn",
        "failed_identities": 17,
        "figures": [
            {"file": "people.jpg", "kind": "people", "title": "People", "caption": "Drawn at random."},
            {"file": "scores.png", "kind": "scores", "title": "Scores", "caption": "Two hills."},
        ],
    }


QUANTILES = {"q1": 10.0, "q5": 12.0, "q25": 14.0, "q50": 15.0, "q75": 16.0, "q95": 18.0, "q99": 20.0}
TRAIT = {
    "unit": "degrees",
    "error": 4.56,
    "mean": -1.234,
    "std": 11.1,
    "within_identity_std": None,
    "quantiles": QUANTILES,
    "histogram": {"edges": [0.0, 1.0, 2.0], "counts": [3, 9]},
}


def group(name, counted, corrected):
    return {
        "name": name,
        "counted": counted,
        "corrected": corrected,
        "low": corrected - 0.0501,
        "high": corrected + 0.0502,
        "missed": 0.0613,
        "mistaken": 0.0524,
        "faces": 9876,
    }


PAIR = {"identity": 5, "reference": "real_0012", "person": "Somebody", "cosine": 0.7654}


@pytest.fixture
def full_facts(facts):
    """Facts of an audit that looked at the pictures and at real people, too."""
    return {
        **facts,
        "pictures": {
            "images": 48,
            "traits": {"yaw": TRAIT, "sharpness": {**TRAIT, "unit": "grey levels", "error": None}},
            "groups": {"bearded": {"shares": {"bearded": 0.125, "not bearded": 0.875}, "unit": "", "error": 0.2}},
            "requested": {
                "yaw": {
                    "unit": "degrees",
                    "images": 48,
                    "mean_absolute_difference": 3.21,
                    "mean_difference": 0.5,
                    "largest_share_misplaced": 0.0625,
                    "requested": QUANTILES,
                    "measured": QUANTILES,
                    "estimator_error": 4.56,
                }
            },
            "poor": 2,
            "poor_share": 2 / 48,
            "sides": {"turned": 21, "left": 0.55, "share": 0.55},
            "mixed_identities": 1,
            "mixed_share": 1 / 6,
            "perceptual_distance": {"same": {"pairs": 6, "mean": 0.111, "std": 0.1}, "different": None},
        },
        "near_duplicates": {
            "bits": 3,
            "of_bits": 64,
            "cosine": 0.95,
            "pairs": 4321,
            "pairs_across_identities": 7,
            "images": 8,
            "surplus_share": 0.0123,
        },
        "leakage": [
            {
                "reference": "real faces",
                "embedder": {"name": "judge", "width": 128, "sha256": "e" * 64},
                "images": 999,
                "people": 333,
                "assumption": "Its people are strangers.",
                "identities": 6,
                "leaked": 1,
                "leaked_share": 1 / 6,
                "images_share": 0.02,
                "strangers_images_share": 0.01,
                "strangers": None,
                "no_limit": None,
                "people_with_several": 222,
                "comparisons": [
                    {
                        "kind": "images",
                        "threshold": 0.6543,
                        "rate": 1e-6,
                        "queries": 48,
                        "queries_reaching": 3,
                        "queries_share": 3 / 48,
                        "identities_reaching": 1,
                        "strangers": {"images": 999, "images_share": 0.0123},
                        "held_out": {"images": 111, "images_share": 0.0234},
                        "same_person": {"compared": 777, "share": 0.3456},
                        "nearest": {"q100": 0.7654},
                        "closest": [PAIR, {**PAIR, "person": ""}],
                    }
                ],
            }
        ],
        "demographics": {
            "name": "some groups",
            "sha256": "d" * 64,
            "embedder": "space-128",
            "identities": 6,
            "images": 48,
            "by": [
                {
                    "name": "sex",
                    "note": "as some labels have it",
                    "lasting": True,
                    "agreement": 0.975,
                    "expected_agreement": 0.875,
                    "unexplained": 0.0,
                    "doubt": "",
                    "groups": [group("male", 0.6123, 0.7345), group("female", 0.3877, 0.2655)],
                }
            ],
        },
        "realism": {
            "reference": "real faces",
            "embedder": "space-128",
            "size": 24,
            "splits": 5,
            "warnings": ["so few images say little"],
            **{
                key: {"faces": {"mean": 12.345, "sd": 0.5}, "real": {"mean": 3.21, "sd": 0.25}}
                for key in ("frechet", "kernel", "precision", "recall")
            },
        },
        "excluded": 3,
        "findings": {
            "counts": {"likeness of a real person": 1, "poor image": 2},
            "listed": [
                {
                    "kind": "poor image",
                    "identities": [3, 4],
                    "people": ["", "Some <Body>"],
                    "images": ["0000003_0001"],
                    "value": None,
                    "reason": "blurred <b>",
                }
            ],
        },
    }


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "people.jpg").write_bytes(b"\xff\xd8 people")
    (tmp_path / "scores.png").write_bytes(b"\x89PNG scores")
    return tmp_path
