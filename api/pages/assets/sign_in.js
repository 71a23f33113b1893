// A fragment such as #phone=… never reaches the server; it only has to survive the sign-in.
"use strict";
const form = document.getElementById("sign-in");
form.action = "/sign-in" + location.hash;
