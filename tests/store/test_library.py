"""What is on a node without a pull: the catalog, folders, the caches of other programs, and keeping house."""


def test_the_catalog_tells_where_models_would_fit(home):
    home.start("--memory", "6G")
    (self,) = home.json("nodes")
    offers = {offer["name"]: offer for offer in home.json("list", "--catalog")}
    assert list(offers)[0] == "smollm2:135m" and "deepseek-r1:671b" in offers
    small, big = offers["llama3.2:1b"], offers["llama3.1:405b"]
    assert small["fits"] == [self["id"]] and small["fits_cluster"] and not small["here"]
    assert big["fits"] == [] and not big["fits_cluster"] and big["needs_bytes"] > big["size_bytes"]
    shown = home.cli("list", "--catalog").stdout
    assert "llama3.2:1b" in shown and "1 machine " in shown and "needs 24" in shown
