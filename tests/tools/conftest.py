# SPDX-License-Identifier: BSD-2-Clause
"""The tools are programs: put their folder where their tests can import them from."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
