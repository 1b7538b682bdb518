document.getElementById("greeting").textContent = "The built script ran.";
