defmodule Hello.HandlerTest do
  use ExUnit.Case, async: true

  test "the page references the script" do
    assert {200, headers, body} = Hello.Handler.respond("GET", "/")
    assert headers[:cache_control] == "no-cache"
    assert body =~ ~r{src="/assets/app[^"]*\.js"}
  end

  test "paths outside the manifest are not served" do
    assert {404, _, _} = Hello.Handler.respond("GET", "/../mix.exs")
    assert {405, _, _} = Hello.Handler.respond("POST", "/")
  end

  test "a manifest's pairs" do
    json = ~s({"version": 1, "latest": {"assets/a.js": "assets/a-0.js"}})
    assert Hello.Assets.parse(json) == %{"assets/a.js" => "assets/a-0.js"}
  end
end
