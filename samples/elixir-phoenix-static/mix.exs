defmodule Hello.MixProject do
  use Mix.Project

  def project do
    [
      app: :hello,
      version: "0.1.0",
      elixir: "~> 1.14",
      start_permanent: Mix.env() == :prod,
      aliases: aliases(),
      deps: []
    ]
  end

  def application do
    [extra_applications: [:logger, :crypto, :inets], mod: {Hello.Application, []}]
  end

  # The names Phoenix uses, so that this app is deployed like one.
  defp aliases do
    [
      "assets.deploy": ["cmd --cd assets npm run deploy", "phx.digest"],
      "phx.server": ["run --no-halt"]
    ]
  end
end
