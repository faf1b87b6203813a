"""The templates of the pages."""

from jinja2 import Environment, PackageLoader, Template


def template(name: str) -> Template:
    """A page's template, by its file name."""
    return Environment(loader=PackageLoader(__package__, "."), autoescape=True).get_template(name)
