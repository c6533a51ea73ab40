"""What frames are, here."""

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""(height, width, 3), RGB."""

Video = NDArray[np.uint8]
"""(frames, height, width, 3), RGB."""
