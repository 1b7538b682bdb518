defmodule Mix.Tasks.Phx.Digest do
  @shortdoc "Gives static files a name that holds their digest"
  @moduledoc """
  Copies every file below `priv/static` to a name with its digest in it and lists the pairs in
  `priv/static/cache_manifest.json`, in the form Phoenix uses.
  """
  use Mix.Task

  @static "priv/static"
  @digested ~r/-[0-9a-f]{32}\.\w+$/

  @impl true
  def run(_arguments) do
    sources = @static |> Path.join("**/*") |> Path.wildcard() |> Enum.filter(&source?/1)

    if sources == [],
      do: Mix.raise("nothing to digest in #{@static}: run the assets' build first")

    pairs = for file <- Enum.sort(sources), do: {file, digest(file)}
    File.write!(Path.join(@static, Hello.Assets.manifest_name()), manifest(pairs))
    Mix.shell().info("Check your digested files at #{inspect(@static)}")
  end

  defp source?(file) do
    File.regular?(file) and not Regex.match?(@digested, file) and
      Path.basename(file) != Hello.Assets.manifest_name()
  end

  defp digest(file) do
    hash = :md5 |> :crypto.hash(File.read!(file)) |> Base.encode16(case: :lower)
    target = "#{Path.rootname(file)}-#{hash}#{Path.extname(file)}"
    File.cp!(file, target)
    target
  end

  defp manifest(pairs) do
    lines =
      Enum.map_join(pairs, ",\n", fn {file, target} ->
        ~s(    "#{Path.relative_to(file, @static)}": "#{Path.relative_to(target, @static)}")
      end)

    ~s({\n  "version": 1,\n  "latest": {\n#{lines}\n  }\n}\n)
  end
end
