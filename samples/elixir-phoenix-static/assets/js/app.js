import "../css/app.css"

document.getElementById("greeting").textContent = "The digested script ran."
