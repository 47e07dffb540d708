import { mount } from "svelte";
import App from "./App.svelte";
import "./styles/page.css";
import "./styles/compose.css";
import "./styles/watch.css";

const target = document.getElementById("app");
if (target) mount(App, { target });
