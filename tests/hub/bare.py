"""An environment in which no other program of this machine keeps models."""
import os

CACHES = ("HF_HOME", "HF_HUB_CACHE", "LLAMA_CACHE", "OLLAMA_MODELS", "XDG_CACHE_HOME", "CARAVAN_MODELS")


def environment(home, **more):
    """This process's own, with a home for Caravan that is also the person's."""
    kept = {name: value for name, value in os.environ.items() if name not in CACHES}
    return kept | {"CARAVAN_HOME": str(home), "HOME": str(home)} | more
