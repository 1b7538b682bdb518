# Prints "yes" when a dependency of the project in the current folder comes from Hex or from git.
# Loads mix.exs alone: resolving dependencies would already ask for Hex.
Mix.start()
Mix.env(String.to_atom(System.get_env("MIX_ENV", "prod")))

needs_tools? = fn file ->
  Code.require_file(file)
  config = Mix.Project.config()
  Mix.Project.pop()

  Enum.any?(Keyword.get(config, :deps, []), fn dependency ->
    options = dependency |> Tuple.to_list() |> List.last()
    local? = is_list(options) and (Keyword.has_key?(options, :path) or options[:in_umbrella])
    not local?
  end)
end

files = ["mix.exs" | Path.wildcard("apps/*/mix.exs")]
IO.puts(if Enum.any?(files, needs_tools?), do: "yes", else: "no")
