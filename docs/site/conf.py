"""Sphinx's configuration of the documentation site; `build.py` beside it makes the site."""

from pu_diffusion_pipeline import __version__

project = "pu_diffusion_pipeline"
release = version = __version__
author = "The pu_diffusion_pipeline maintainers"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
html_theme = "furo"
html_title = "PU diffusion pipeline"
exclude_patterns = ["src", "conf", "benchmarks"]
myst_heading_anchors = 4  # as GitHub makes them
nb_execution_mode = "force"
# They read a finished run.
nb_execution_excludepatterns = ["notebooks/01_tour.ipynb", "notebooks/03_own_images.ipynb"]
nb_execution_timeout = 180
autodoc_typehints = "none"  # the docstrings say types and shapes
autodoc_member_order = "bysource"
napoleon_use_ivar = True
# Tables of single runs are linked from the results, not listed.
suppress_warnings = ["misc.highlighting_failure", "mystnb.unknown_mime_type", "toc.not_included"]
