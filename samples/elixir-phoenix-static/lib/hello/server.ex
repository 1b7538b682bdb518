defmodule Hello.Server do
  @moduledoc "OTP's own web server, with `Hello.Handler` answering every request."

  require Logger

  def child_spec(port) do
    %{id: __MODULE__, start: {__MODULE__, :start_link, [port]}, type: :supervisor}
  end

  def start_link(port) do
    static = Application.app_dir(:hello, "priv/static") |> String.to_charlist()

    options = [
      port: port,
      bind_address: :any,
      ipfamily: :inet,
      server_name: 'hello',
      server_root: static,
      document_root: static,
      modules: [Hello.Handler]
    ]

    with {:ok, pid} <- :inets.start(:httpd, options, :stand_alone) do
      Logger.info("Running Hello.Server at 0.0.0.0:#{port} (http)")
      {:ok, pid}
    end
  end
end
