"""Five facial landmarks: what they say of a head's pose, where a pose puts them, and pictures of them."""
