defmodule Hello.Handler do
  @moduledoc "Answers requests: the page at `/`, and the files below `priv/static`."

  require Record
  Record.defrecordp(:mod, Record.extract(:mod, from_lib: "inets/include/httpd.hrl"))

  @types %{".css" => "text/css", ".js" => "text/javascript", ".txt" => "text/plain"}

  # The function httpd calls is named do, which Elixir only accepts when it is quoted.
  def unquote(:do)(request) do
    method = request |> mod(:method) |> to_string()
    path = request |> mod(:request_uri) |> to_string() |> URI.parse() |> Map.get(:path)
    {status, headers, body} = respond(method, path || "/")
    headers = [{:code, status}, {:content_length, "#{byte_size(body)}"} | headers]
    headers = for {name, value} <- headers, do: {name, to_charlist_unless_integer(value)}
    body = if method == "HEAD", do: :nobody, else: [body]
    {:proceed, [{:response, {:response, headers, body}}]}
  end

  @doc "Status, headers and body for a request; knows nothing of the server."
  def respond(method, path) when method in ["GET", "HEAD"], do: get(path)

  def respond(_method, _path), do: text(405, "method not allowed")

  defp get("/") do
    {200, [{:content_type, "text/html; charset=utf-8"}, {:cache_control, "no-cache"}], page()}
  end

  defp get("/" <> path) do
    # Only what the digest task listed is served, so a path can never leave the folder.
    case Hello.Assets.fetch(path) do
      {:ok, body, caching} ->
        type = Map.get(@types, Path.extname(path), "application/octet-stream")
        {200, [{:content_type, type}, {:cache_control, caching}], body}

      :error ->
        text(404, "not found")
    end
  end

  defp get(_path), do: text(404, "not found")

  defp text(status, message), do: {status, [{:content_type, "text/plain"}], message <> "\n"}

  defp page do
    """
    <!DOCTYPE html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <title>Hello</title>
        <link rel="stylesheet" href="/#{Hello.Assets.digested("assets/app.css")}">
        <script defer src="/#{Hello.Assets.digested("assets/app.js")}"></script>
      </head>
      <body>
        <h1>Hello from Elixir #{System.version()}</h1>
        <p id="greeting">The script has not run.</p>
      </body>
    </html>
    """
  end

  defp to_charlist_unless_integer(value) when is_integer(value), do: value
  defp to_charlist_unless_integer(value), do: String.to_charlist(value)
end
