# Makes two compilations of one source leave the same bytes: Mix writes what it compiled in the order
# in which parallel compilers finished. Order means nothing to it. Keeps the files' times.
tagged? = fn
  [_ | _] = list -> Enum.all?(list, &(is_tuple(&1) and elem(&1, 0) in [:module, :source]))
  _other -> false
end

for manifest <- Path.wildcard("_build/*/lib/*/.mix/compile.elixir", match_dot: true) do
  term = manifest |> File.read!() |> :erlang.binary_to_term()

  if is_tuple(term) do
    fields =
      for field <- Tuple.to_list(term), do: if(tagged?.(field), do: Enum.sort(field), else: field)

    time = File.stat!(manifest, time: :posix).mtime
    File.write!(manifest, :erlang.term_to_binary(List.to_tuple(fields), [:compressed]))
    File.touch!(manifest, time)
  end
end

# A table that holds the moment it was written; Mix makes it anew when it compiles again.
for table <- Path.wildcard("_build/*/lib/*/.mix/compile.app_tracer", match_dot: true),
    do: File.rm!(table)
