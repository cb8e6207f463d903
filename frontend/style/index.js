import './base.css';
import './conflicts.css';
