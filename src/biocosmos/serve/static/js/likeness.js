// The page Likeness.
import { start } from "./maps/page.js";

start("likeness");
