defmodule Hello.Application do
  @moduledoc false
  use Application

  @impl true
  def start(_type, _args) do
    children = if System.get_env("PORT"), do: [{Hello.Server, port()}], else: []
    Supervisor.start_link(children, strategy: :one_for_one, name: Hello.Supervisor)
  end

  defp port, do: "PORT" |> System.fetch_env!() |> String.to_integer()
end
