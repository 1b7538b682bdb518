defmodule Hello.Assets do
  @moduledoc """
  Static files and their digested names, as `mix phx.digest` left them in `priv/static`.

  A digested file never changes under its name, so browsers may keep it for ever.
  """

  @manifest "cache_manifest.json"
  @for_ever "public, max-age=31536000, immutable"

  def manifest_name, do: @manifest

  @doc "`assets/app.js` → `assets/app-0123….js`; the name itself when nothing was digested."
  def digested(path), do: Map.get(latest(), path, path)

  @doc "Content and Cache-Control value of a listed file, by its plain or its digested name."
  def fetch(path) do
    latest = latest()

    cond do
      Map.has_key?(latest, path) -> read(path, "no-cache")
      path in Map.values(latest) -> read(path, @for_ever)
      true -> :error
    end
  end

  defp read(path, caching) do
    with {:ok, body} <- File.read(Path.join(root(), path)), do: {:ok, body, caching}
  end

  defp latest do
    case File.read(Path.join(root(), @manifest)) do
      {:ok, json} -> parse(json)
      {:error, _} -> %{}
    end
  end

  @doc "The name → digested name pairs of a manifest. OTP 25 has no JSON reader; the form is our own."
  def parse(json) do
    ~r/"([^"]+)": "([^"]+)"/
    |> Regex.scan(json, capture: :all_but_first)
    |> Map.new(fn [name, digested] -> {name, digested} end)
  end

  defp root, do: Application.app_dir(:hello, "priv/static")
end
